"""A comparison as a page for a browser, in one file that loads nothing: the verdict, the causes, maps of the errors, the table.

Colours follow the reader's light or dark setting; tables scroll sideways on a narrow screen, the page does not.
"""
import base64
import io
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from npvgg.parity.diagnosis import Cause, Finding
from npvgg.parity.layer_table import cells, headings
from npvgg.parity.profile import BINS, DECADES, Profile
from npvgg.parity.verdicts import FOLLOWS
from npvgg.text import counted
from npvgg.version import __version__

if TYPE_CHECKING:
    from npvgg.parity.report import Comparison

MOST_CHANNELS = 512                       # bars of a chart; more channels are joined, the largest of each group standing
MAPS = 12                                 # findings that are drawn; all are listed

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --line: #d9dce1; --soft: #f4f5f7;
  --bad: #b3261e; --good: #1b6e3c; --mark: #3557b7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #15171a; --line: #363a41; --soft: #1e2125;
  --bad: #ff8a80; --good: #7bd6a0; --mark: #8fb0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 3rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.4rem; line-height: 1.3; margin: 0 0 .6rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.bad { color: var(--bad); } .good { color: var(--good); }
.cause { border-left: 4px solid var(--bad); background: var(--soft); padding: .6rem .9rem; margin: .6rem 0; }
.cause p, .cause ul { margin: .2rem 0; } .cause ul { padding-left: 1.2rem; } .small { font-size: .875rem; opacity: .85; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; } figure { margin: .5rem 0; max-width: 100%; }
figcaption { font-size: .875rem; opacity: .85; max-width: 17rem; }
img { image-rendering: pixelated; border: 1px solid var(--line); width: 14rem; }
svg { width: 17rem; max-width: 100%; height: 9rem; border: 1px solid var(--line); } rect { fill: var(--mark); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2), th:last-child, td:last-child { text-align: left; }
tr.wrong td { color: var(--bad); font-weight: 600; } tr.follows td { opacity: .7; }
"""


def page(comparison: "Comparison") -> str:
    """A Comparison → HTML."""
    first = comparison.first
    verdict = f"The runs part at {first.name}" if first else f"The runs agree in {counted(len(comparison.rows), 'layer')}"
    title, *lines = comparison.headline()
    body = [f'<h1 class="{"bad" if first else "good"}">{escape(verdict)}</h1>', f"<p>{escape(title)}</p>",
            *(cause_box(comparison, cause) for cause in comparison.causes),
            *(facts_box(finding) for finding in comparison.findings if not finding.causes)]
    told = [line for line in lines if not line.startswith("  ")]
    body += [f'<p class="small">{escape(line)}</p>' for line in told]
    body += [figures(finding) for finding in comparison.findings[:MAPS]]
    body += ["<h2>Every layer</h2>", table(comparison)]
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(verdict)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta name="generator" content="npvgg {escape(__version__)}"><style>{STYLE}</style></head>\n<body>\n'
            + "\n".join(body) + "\n</body></html>\n")


def cause_box(comparison: "Comparison", cause: Cause) -> str:
    """One mistake, the numbers that support it and what to do about it."""
    others = comparison.layers_of(cause)[1:]
    also = f'<p>So are {escape(", ".join(others))}.</p>' if others else ""
    return (f'<div class="cause"><p><strong>{escape(cause.name)}</strong></p>{also}<p>→ {escape(cause.remedy)}</p>'
            f'<p class="small">{escape(cause.evidence)}</p></div>')


def facts_box(finding: Finding) -> str:
    """A wrong layer that no mistake explains."""
    who = f"{finding.run} is wrong at {finding.layer}" if finding.run else f"at {finding.layer} the runs part"
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in finding.facts)
    return (f'<div class="cause"><p><strong>{escape(who)}; no known mistake reproduces it</strong></p><ul>{facts}</ul></div>')


def figures(finding: Finding) -> str:
    """Where the gap of one finding is: by pixel, by channel, by size."""
    shape = finding.profile
    if shape is None:
        return ""
    parts = [figure(bars(grouped(shape.channels), "the gap by channel"),
                    f"which of {len(shape.channels)} channels: the rms of the gap, channel 0 at the left, up to "
                    f"{shape.channels.max():.2g}"),
             figure(histogram(shape), f"how large: elements by |gap| ÷ largest value, 1e{DECADES[0]} to 1e{DECADES[1]}, both "
                    "on logarithmic scales")]
    if shape.pixels is not None:
        parts.insert(0, figure(pixel_map(shape.pixels), "which pixels: the rms of the gap over channels, bright is large"))
    who = f"{finding.run}’s {finding.layer}" if finding.run else finding.layer
    return f'<h2>The gap at {escape(who)}</h2><div class="figures">{"".join(parts)}</div>'


def figure(content: str, caption: str) -> str:
    """A picture with words under it."""
    return f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>"


def pixel_map(pixels: np.ndarray) -> str:
    """(H, W) → a grey picture, brightest where the gap is largest; what has none is dark blue."""
    share = pixels / (pixels.max() or 1)
    colours = np.stack([255 * share, 255 * share**1.5, 40 + 160 * share], axis=-1)
    colours[pixels == 0] = (16, 24, 64)
    stream = io.BytesIO()
    Image.fromarray(colours.astype(np.uint8)).save(stream, "PNG")
    data = base64.b64encode(stream.getvalue()).decode()
    return (f'<img src="data:image/png;base64,{data}" width="{pixels.shape[1]}" height="{pixels.shape[0]}" '
            f'style="aspect-ratio:{pixels.shape[1]}/{pixels.shape[0]};height:auto" alt="map of the gap, {pixels.shape[0]} by '
            f'{pixels.shape[1]} pixels">')


def grouped(channels: np.ndarray) -> np.ndarray:
    """At most MOST_CHANNELS numbers, each the largest of neighbours."""
    parts = np.array_split(channels, min(len(channels), MOST_CHANNELS))
    return np.array([part.max() for part in parts])


def histogram(shape: Profile) -> str:
    """How many elements have a gap of each size, on a logarithmic scale."""
    return bars(np.log1p(shape.histogram.astype(float)), f"histogram of the gap in {BINS} classes")


def bars(heights: np.ndarray, label: str) -> str:
    """Numbers → bars of an SVG."""
    share = heights / (heights.max() or 1)
    rects = "".join(f'<rect x="{place}" y="{1 - height:.4f}" width="0.9" height="{height:.4f}"/>'
                    for place, height in enumerate(share) if height > 0)
    return (f'<svg viewBox="0 0 {len(heights)} 1" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
            f"{rects}</svg>")


def table(comparison: "Comparison") -> str:
    """The layers, with the headings of the text."""
    by_own = comparison.has_own_errors
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings(by_own))
    rows = "".join(f'<tr class="{"wrong" if row.is_wrong else "follows" if row.verdict == FOLLOWS else ""}">'
                   + "".join(f"<td>{escape(cell)}</td>" for cell in cells(row, by_own)) + "</tr>" for row in comparison.rows)
    told = "Own errors are counted in what rounding explains: above 1.00 a layer is wrong." if by_own else ""
    return (f'<p class="small">{told}</p><div class="wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>")
