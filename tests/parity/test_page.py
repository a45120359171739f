"""The page holds what the text says, and loads nothing."""
import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from witnesses import mistakes
from witnesses.networks import lively, photograph

from npvgg import parity
from npvgg.parity.page import bars, grouped, pixel_map
from npvgg.parity.profile import profile

SIZES = {"width": 1 / 16, "hidden": (20, 20), "num_classes": 10, "pooled_size": 2, "input_size": 64}


@pytest.fixture(scope="module")
def comparison():
    vgg = lively("vgg11_bn", **SIZES)
    x = vgg.prepare(photograph(0))
    noise = np.random.default_rng(0).standard_normal((1, 16, 16, 16)).astype(np.float32)
    changes = {"conv2_1": mistakes.CONV["reflect"][0], "bn3_1": lambda y, p: mistakes.norm(y, *p.values()) + noise}
    return parity.compare(mistakes.run(vgg, x, changes), {"input": x} | vgg.trace(x), vgg)


class Tags(HTMLParser):
    """Whether tags are closed in order, and what they load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.loaded += [value for key, value in attributes if key in ("src", "href", "srcset", "data", "action", "poster")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(comparison):
    text = comparison.to_html()
    tags = Tags(text)
    assert not tags.open and tags.loaded and all(source.startswith("data:image/png;base64,") for source in tags.loaded)
    assert "<script" not in text and "@import" not in text and "url(" not in text and "http" not in text
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text


def test_it_says_what_the_text_says(comparison):
    text = comparison.to_html()
    cause, = comparison.causes
    assert cause.name in text and cause.remedy in text and cause.evidence in text
    unknown = next(finding for finding in comparison.findings if not finding.causes)
    assert all(fact in text for fact in unknown.facts) and "A is wrong at bn3_1; no known mistake reproduces it" in text
    for row in comparison.rows:
        assert f"<td>{row.name}</td>" in text
    assert text.count('<tr class="wrong">') == 2 and text.count("<figure>") == 6


def test_names_cannot_write_html():
    run = {"<b>x</b>": np.ones((1, 2, 3, 3))}
    text = parity.compare(run, {"<b>x</b>": np.zeros((1, 2, 3, 3))}).to_html()
    assert "<b>" not in text and "&lt;b&gt;x&lt;/b&gt;" in text


def test_runs_that_agree_have_a_page_without_maps():
    run = {"fc8": np.arange(6.0).reshape(2, 3)}
    text = parity.compare(run, run).to_html()
    assert "The runs agree in 1 layers" not in text and "agree: 1 layer within" in text and "<figure>" not in text


def test_the_profile_of_a_gap():
    right = np.ones((2, 3, 130, 5))
    y = right.copy()
    y[1, 2, 77, 3] = 3
    found = profile(y, right)
    assert found.pixels.shape == (33, 2) and np.argwhere(found.pixels > 0).tolist() == [[77 // 4, 3 // 4]]
    assert found.pixels.max() == pytest.approx(2 / np.sqrt(6)) and np.flatnonzero(found.channels).tolist() == [2]
    assert found.histogram.sum() == y.size and found.histogram[0] == y.size - 1
    assert profile(y, right[:1]) is None


def test_a_map_is_a_picture_and_bars_are_as_high_as_their_numbers():
    image = pixel_map(np.array([[0, 1.0], [0.5, 0]]))
    data = re.search(r'base64,([^"]+)"', image)[1]
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert levels.shape == (2, 2, 3) and levels[0, 1].sum() > levels[1, 0].sum() > levels[0, 0].sum()
    assert bars(np.array([2.0, 0, 1]), "x").count("<rect") == 2 and 'height="0.5000"' in bars(np.array([2.0, 0, 1]), "x")
    assert grouped(np.arange(2000.0)).shape == (512,) and grouped(np.arange(2000.0))[-1] == 1999
