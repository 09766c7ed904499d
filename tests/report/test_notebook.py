"""How tickets, data sets and engines look in a notebook and at a prompt."""

import base64
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from spiketicket import Engine, Ticket
from spiketicket.data import load_dataset, make_config
from spiketicket.data.types import Samples
from spiketicket.report.figures.masks import blocks
from spiketicket.report.notebook import accuracy_interval
from spiketicket.ticket.zoo import find_ticket

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e" + "x" * 5000
SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """The tags, texts and pictures of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.pictures = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        source = dict(attrs).get("src", "")
        assert source == "" or source.startswith("data:image/svg+xml;base64,")
        assert not any(name.startswith("on") for name, _ in attrs)
        if source:
            drawn = base64.b64decode(source.partition(",")[2])
            self.pictures.append(ElementTree.fromstring(drawn))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def ticket():
    return Ticket.load(find_ticket("digits-binw").path)


def test_a_ticket_is_a_table_its_masks_and_its_verdict_with_intervals(ticket):
    page = Page(ticket._repr_html_())
    for layer in ticket.layers:
        assert layer.name in page.text
        assert f"{layer.kept:,}" in page.text
    assert ticket.metadata["verdict"]["sentences"][0] in page.text
    low, high = re.search(r"([\d.]+) – ([\d.]+) %", page.text).groups()
    assert float(low) < ticket.metadata["accuracy"]["test"] < float(high)
    (picture,) = page.pictures
    drawn = [node.get("href") for node in picture.iter(f"{SVG}image")]
    assert len(drawn) == len(ticket.layers)
    for source, layer in zip(drawn, ticket.layers, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
        rows, columns = len(layer.mask), layer.mask[0].size
        if max(rows, columns) <= 96:
            white = (pixels == 255).all(2)
            assert np.array_equal(~white, layer.mask.reshape(rows, columns))
        assert abs((255 - pixels[..., 0].astype(float)).mean() / 245 - layer.density) < 0.02


def test_blocks_of_a_mask_are_shares_that_keep_the_count():
    rng = np.random.default_rng(0)
    mask = rng.random((7, 3, 5)) < 0.3
    exact = blocks(mask, 100)
    assert np.array_equal(exact, mask.reshape(7, 15).astype(float))
    some = blocks(mask, 4)
    assert some.shape == (4, 4)
    assert some[0, 0] == mask.reshape(7, 15)[:1, :3].mean()
    assert ((some >= 0) & (some <= 1)).all()


def test_text_of_a_file_steers_neither_a_page_nor_a_terminal(ticket):
    metadata = {k: v for k, v in ticket.metadata.items() if k not in ("format_version", "verdict")}
    metadata |= {
        "network": {"name": HOSTILE},
        "data": {"name": HOSTILE},
        "verdict": {"outcome": HOSTILE, "sentences": [HOSTILE, 7] * 50},
    }
    forged = Ticket(ticket.layers, ticket.tensors, metadata)
    for shown in (repr(forged), forged._repr_html_()):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert len(shown) < 250_000
    assert "script" not in Page(forged._repr_html_()).tags
    assert len(repr(forged).splitlines()) <= 5
    assert len(repr(forged)) < 600


@pytest.mark.parametrize(
    "metadata",
    [
        {"accuracy": 7},
        {"accuracy": {"test": "x", "test_count": None}},
        {"accuracy": {"test": 1e9, "test_count": 10}},
        {"accuracy": {"test": 50, "test_count": -1}},
        {"network": [], "data": 3, "verdict": [], "seed": 1.5},
        {"verdict": {"sentences": "no list", "outcome": 3}},
    ],
)
def test_metadata_of_any_kind_is_left_out(ticket, metadata):
    shown = Ticket(ticket.layers, ticket.tensors, metadata)
    assert len(repr(shown).splitlines()) <= 5
    assert accuracy_interval(metadata) is None
    assert "<table>" in shown._repr_html_()


def test_a_layer_shows_its_mask(ticket):
    page = Page(ticket.layers[0]._repr_html_())
    assert len(page.pictures) == 1
    assert ticket.layers[0].name in page.text


def test_a_data_set_and_its_samples_show_pictures_and_counts():
    digits = load_dataset(make_config("digits"))
    assert repr(digits).split("\n") == [
        "<Dataset digits: 1,437 training and 360 test images 1x8x8, uint8",
        "  10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9>",
    ]
    assert repr(digits.test) == "<Samples: 360 images 1x8x8, uint8, classes 0 to 9>"
    page = Page(digits._repr_html_())
    assert digits.licence in page.text
    assert str(int((digits.train.y == 0).sum())) in page.text
    (picture,) = Page(digits.train._repr_html_()).pictures
    assert len(list(picture.iter(f"{SVG}image"))) == 8
    frames = Samples(np.ones((3, 4, 2, 8, 6), np.uint16), np.array([0, 2, 1]))
    assert repr(frames) == "<Samples: 3 recordings of frames 4x2x8x6, uint16, classes 0 to 2>"
    assert len(Page(frames._repr_html_()).pictures) == 1


def test_an_engine_says_what_it_takes_and_runs_on(ticket):
    engine = Engine(ticket, backend="numpy")
    first, *rest = repr(engine).split("\n")
    assert first == "<Engine of: images 1x8x8, 10 classes"
    assert rest[-1] == "  runs on: numpy, 1 thread, throughput>"
    assert len(rest) <= 4
    assert "numpy, 1 thread" in Page(engine._repr_html_()).text
