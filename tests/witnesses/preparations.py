"""Pictures prepared wrongly, by Pillow and NumPy alone: the maker that the detectors of wrong inputs are tested on.

Right is torchvision's recipe for a side of 64: shorter side 73 (the 256 : 224 of 64), bilinear, middle, ÷255, mean, deviation.
"""
import numpy as np
from PIL import Image, ImageOps

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
SHORT, SIDE = 73, 64


def resize(picture, short=SHORT, how=Image.Resampling.BILINEAR):
    w, h = picture.size
    size = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    return picture.resize(size, how)


def crop(picture, down=0, right=0, side=SIDE):
    w, h = picture.size
    left, top = int(round((w - side) / 2)) + right, int(round((h - side) / 2)) + down
    return np.asarray(picture.crop((left, top, left + side, top + side)))


def normal(levels, divisor=255, mean=MEAN, std=STD):
    return ((levels.astype(np.float32) / np.float32(divisor) - mean) / std).transpose(2, 0, 1)


def floats(picture):
    """Resized in floating point, channel by channel."""
    parts = [np.asarray(resize(Image.fromarray(np.asarray(picture)[..., c].astype(np.float32)))) for c in range(3)]
    levels = np.stack(parts, axis=-1)
    top, left = ((side - SIDE) // 2 if (side - SIDE) % 2 == 0 else int(round((side - SIDE) / 2)) for side in levels.shape[:2])
    return levels[top:top + SIDE, left:left + SIDE]


def sparse(picture, side=SIDE):
    """Squashed by bilinear interpolation without antialiasing, four neighbours a pixel."""
    levels = np.asarray(picture, np.float64)
    for axis in (0, 1):
        old = levels.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * old / side - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high, part = np.minimum(low + 1, old - 1), (at - low).reshape(-1, *(1,) * (2 - axis))
        levels = np.take(levels, low, axis) * (1 - part) + np.take(levels, high, axis) * part
    return levels


BILINEAR = Image.Resampling.BILINEAR
ONE = np.float32(1)


def plain(levels):
    """One grey channel three times."""
    return np.stack([levels] * 3, axis=-1)


def turned(change, **statistics):
    """Prepared rightly but for what happens to the levels (H, W, C), and for the statistics."""
    return lambda p: normal(change(crop(resize(p))), **statistics)


def resized(how, **where):
    return lambda p: normal(crop(resize(p, how=how), **where))


def same(levels):
    return levels


BACKWARDS = "reverse order (BGR for RGB)"
# what → (function of the picture, telling words)
WITHOUT_PICTURE = {
    "BGR before": (turned(lambda y: y[..., ::-1]), f"{BACKWARDS} before normalising"),
    "BGR after": (lambda p: normal(crop(resize(p)))[::-1], f"{BACKWARDS} after normalising"),
    "BGR statistics": (turned(same, mean=MEAN[::-1], std=STD[::-1]), "mean and standard deviation in reverse"),
    "not divided": (turned(same, divisor=1), "not divided by 255"),
    "256": (turned(same, divisor=256), "divided by 256 instead of 255"),
    "twice": (turned(same, divisor=255**2), "divided by 255 twice"),
    "no mean": (turned(same, mean=0), "without subtracting the mean"),
    "no deviation": (turned(same, std=ONE), "without dividing by the standard deviation"),
    "neither": (turned(same, mean=0, std=ONE), "neither the mean"),
    "raw": (turned(same, divisor=1, mean=0, std=ONE), "levels from 0 to 255"),
    "variance": (turned(same, std=STD**2), "variance instead"),
    "−1 … 1": (turned(same, divisor=127.5, mean=1, std=ONE), "scaled to −1 … 1"),
    "caffe": (turned(lambda y: y[..., ::-1], divisor=1, mean=np.float32([103.939, 116.779, 123.68]), std=ONE), "as caffe does"),
    "cifar10": (turned(same, mean=np.float32([0.4914, 0.4822, 0.4465]), std=np.float32([0.2470, 0.2435, 0.2616])),
                "as cifar10 does"),
    "other mean": (turned(same, mean=np.float32([0.4, 0.5, 0.6])), "mean (0.4, 0.5, 0.6)"),
    "mirrored": (turned(lambda y: y[:, ::-1]), "mirrored left to right"),
    "transposed": (turned(lambda y: y.swapaxes(0, 1)), "height and width exchanged"),
    "upside down": (turned(lambda y: y[::-1]), "upside down"),
    "reshaped": (turned(lambda y: y.reshape(3, SIDE, SIDE).transpose(1, 2, 0)), "reshaped from (H, W, C)"),
    "grey": (turned(lambda y: plain(np.asarray(Image.fromarray(y).convert("L")))), "grey"),
    "crop off": (resized(BILINEAR, down=2, right=-3), "2 pixels"),
    "float16": (lambda p: normal(crop(resize(p))).astype(np.float16).astype(np.float32), "rounded to float16"),
    "mirrored BGR": (turned(lambda y: y[:, ::-1, ::-1]), f"mirrored left to right and with its channels in {BACKWARDS}"),
}
WITH_PICTURE = {
    "grey first": (lambda p: normal(plain(crop(resize(p.convert("L"))))), "grey"),
    "top left": (lambda p: normal(np.asarray(resize(p))[:SIDE, :SIDE]), "cropped"),
    "bicubic": (resized(Image.Resampling.BICUBIC), "bicubic instead of bilinear"),
    "nearest": (resized(Image.Resampling.NEAREST), "nearest instead of bilinear"),
    "lanczos": (resized(Image.Resampling.LANCZOS), "lanczos instead of bilinear"),
    "squashed": (lambda p: normal(np.asarray(p.resize((SIDE, SIDE), BILINEAR))), f"squashed to {SIDE}"),
    "squashed, cropped": (lambda p: normal(crop(p.resize((SHORT, SHORT), BILINEAR))), f"squashed to {SHORT}"),
    "short side": (lambda p: normal(crop(resize(p, SIDE))), f"shorter side of {SIDE} instead of {SHORT}"),
    "long side": (lambda p: normal(crop(p.resize(tuple(int(side * SHORT / max(p.size)) for side in p.size), BILINEAR))),
                  "73 pixels on its longer side"),
    "not resized": (lambda p: normal(crop(p)), "not resized"),
    "floats": (lambda p: normal(floats(p)), "in floating point"),
    "no antialiasing": (lambda p: normal(sparse(p)), "without antialiasing"),
    "no antialiasing, rounded": (lambda p: normal(np.rint(sparse(p))), "without antialiasing"),
    "orientation": (lambda p: normal(crop(resize(ImageOps.exif_transpose(p)))), "EXIF orientation applied"),
    "bicubic BGR": (lambda p: normal(crop(resize(p, how=Image.Resampling.BICUBIC))[..., ::-1]),
                    f"bicubic instead of bilinear and with its channels in {BACKWARDS}"),
    "squashed, 256": (lambda p: normal(np.asarray(p.resize((SIDE, SIDE), BILINEAR)), 256), "divided by 256"),
}
