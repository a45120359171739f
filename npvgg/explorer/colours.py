"""Colours for numbers: viridis from 0 up, blue – white – red for numbers of both signs, each the same in every reader's eyes.

    what is never negative     0 … the largest       viridis (Smith and van der Walt, 2015), whose lightness grows evenly
    what has a sign            −m … m, m the largest size       ColorBrewer's RdBu from its end: blue below 0, red above
    what is no number          grey
"""
import base64

import numpy as np

VIRIDIS = np.frombuffer(base64.b85decode(
    r"L;+Mp0#-!?S49O`Mh99(2wX-AT}BIDM-5;{4q-<SV@DBWM-yd86lX{lXh;`nNEm8J8f-"
    r"`#ZAct$NF8rTA8<$@aY!L^NF#JeBy~t7c1R|7NGNznDS1aKdPgjJM=g6tE__EXeMT^TMlyazGk-=jfJHTdMK^&(ID$kugG4%mL_35-"
    r"J%mF(g+f1tLO_N>L54v>he1S#Kt+f^Mu<O0h(Ab)K1qo_N{K#9iakw=Jx+=|Pl`NHi#t(^J5q}}Q;RxOj5$?|IaZ7~Sd2JXj5k`0H(QN1T#Yte"
    r"jWu44HD8T1V2w0kjWc46Gh>Z1WR5arjxlDAF=vi3XpS&xjxcJDFKdo3Y>qB%jxKJFE^m%4aE>i;jx2GGEOL%4bB-%?jw^MJDt3-"
    r"4caAD}jwyMLDSD16dyXi4jwpSOCw`76e~u@BjwXSQCW4M8f{rDFjwOVSC54V8hK?kMjw6VUBZ-"
    r"b9ij5+RjUtSVB8`n9j*TIYjUkYYA(4zAl8hjdj3ASYAC!zAm5U#iiyxPZADD|DnTj8piXNMa9-"
    r"N6Dorxcwi65VcAE1aIp@<)$haaMcAftvLq=q4-"
    r"g(0SeBBzBSsDvY_gCwehC98rZtb!)3fhVnjD6W7huYW4Ae=M<nEwX(svwSbKd@;3qGPZg&ws|$Tc{jLtIJtK^x^_Febv?XvKfH55y>ddnaYVmx"
    r"M!;`K!EQ>yZA`*!PQz<Z#A;H-X;j5%R>o&o$7Nc`WL(H&Uddu$%3x#5UuDZ)XUtq_&0B2ET5ir*aL-"
    r"qB&{lQORCm!+deKpQ(olcXPJz=+gw#uh)k%rfNQ>4+j@Ctx*F%%nL6z7*nAkp>**u-uJD}P*qS`m5+cv1%G^*S(t=urM-7m7;Ew$b&xZWwc-"
    r"YC7_Ccxh%!rvps;33H1Aj;t%&EXx;;T+Q98`a_(*y0)5;~CxK7~kU<;^Y|R<QeDW8S3R4?ByHp<s9+l9rWfN_U0h?<{|s%BmL(k"
), np.uint8).reshape(256, 3)
BLUE_TO_RED = np.array([
    (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247), (253, 219, 199),
    (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31)], np.float64)
NO_NUMBER = (128, 128, 128)


def limit(values: np.ndarray) -> float:
    """The largest finite size of the values, the end of their scale; 1 where all are 0."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0


def coloured(values: np.ndarray, *, is_signed: bool, most: float | None = None) -> np.ndarray:
    """(…) numbers → (…, 3) uint8 on a scale that ends with `most`, by default the largest size among them."""
    end = limit(values) if most is None else most
    share = np.clip(np.nan_to_num(np.asarray(values, np.float64) / end, nan=0.0), -1 if is_signed else 0, 1)
    if is_signed:
        at = (share + 1) / 2 * (len(BLUE_TO_RED) - 1)
        below = np.minimum(at.astype(int), len(BLUE_TO_RED) - 2)
        part = (at - below)[..., np.newaxis]
        found = np.rint((1 - part) * BLUE_TO_RED[below] + part * BLUE_TO_RED[below + 1]).astype(np.uint8)
    else:
        found = VIRIDIS[np.rint(share * 255).astype(int)].copy()
    found[np.isnan(values)] = NO_NUMBER
    return found
