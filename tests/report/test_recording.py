"""The picture of a recording."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from spiketicket.errors import UserError
from spiketicket.events import EVENT, Events
from spiketicket.report.figures.recording import OFF, ON, coloured, write_picture

SVG = "{http://www.w3.org/2000/svg}"


def test_polarities_have_their_colours_and_a_pixel_without_events_is_white():
    frame = np.zeros((2, 1, 4))
    frame[0, 0, 1], frame[1, 0, 2], frame[:, 0, 3] = 9, 9, 9
    nothing, off, on, both = coloured(frame, 9)[0]
    assert nothing.tolist() == [1, 1, 1]
    assert np.allclose(off, OFF)
    assert np.allclose(on, ON)
    assert np.allclose(both, np.array(ON) * OFF)
    one = coloured(np.array([[[1.0]], [[0.0]]]), 1000)[0, 0]
    assert one.max() < 1


@pytest.mark.parametrize("steps", [1, 9])
def test_a_picture_has_every_frame_and_the_rate(tmp_path, steps):
    events = Events(np.array([(5, 1, 2, 1), (9, 0, 0, 0)], EVENT), 4, 4)
    frames = np.zeros((steps, 2, 4, 4), np.uint8)
    frames[0, 1, 2, 1] = 1
    write_picture(tmp_path / "x.svg", "two <events>", frames, events)
    root = ElementTree.parse(tmp_path / "x.svg").getroot()
    width, height = (float(v) for v in root.get("viewBox", "").split()[2:])
    words = [node.text for node in root.iter(f"{SVG}text")]
    assert "two <events>" in words
    assert [word for word in words if re.match(r"\d+: \d+ events", word or "")] == [
        "0: 1 events",
        *(f"{i}: 0 events" for i in range(1, steps)),
    ]
    assert {"ON", "OFF", "thousand events per second"} <= set(words)
    pictures = list(root.iter(f"{SVG}image"))
    assert len(pictures) == steps
    for node in pictures:
        x, y, w, h = (float(node.get(key, "")) for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
    content = base64.b64decode(pictures[0].get("href", "").partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert pixels.shape == (4, 4, 3)
    assert np.argwhere((pixels != 255).any(2)).tolist() == [[2, 1]]
    write_picture(tmp_path / "y.svg", "no events", frames)
    assert "thousand events" not in (tmp_path / "y.svg").read_text()


def test_another_format_and_a_bad_place_are_named(tmp_path):
    frames = np.ones((1, 1, 2, 2), np.uint8)
    with pytest.raises(UserError, match=r"End the name in \.svg"):
        write_picture(tmp_path / "x.png", "x", frames)
    assert not (tmp_path / "x.png").exists()
    with pytest.raises(UserError, match="at most 400"):
        write_picture(tmp_path / "x.svg", "x", np.ones((401, 1, 2, 2), np.uint8))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written.*another `path`"):
        write_picture(tmp_path / "file" / "x.svg", "x", frames)
