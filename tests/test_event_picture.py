"""The picture of a recording."""

import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.events import EVENT, Events
from spiketicket.report.event_picture import OFF, ON, coloured, write_picture


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


@pytest.mark.parametrize("kind", ["png", "svg"])
@pytest.mark.parametrize("steps", [1, 9])
def test_a_picture_is_written_in_the_format_of_its_name(tmp_path, kind, steps):
    events = Events(np.array([(5, 1, 2, 1), (9, 0, 0, 0)], EVENT), 4, 4)
    path = tmp_path / f"x.{kind}"
    frames = np.zeros((steps, 2, 4, 4), np.uint8)
    frames[0, 1, 2, 1] = 1
    write_picture(path, "two events", frames, events)
    head = path.read_bytes()[:200]
    assert head.startswith(b"\x89PNG") if kind == "png" else b"<svg" in head or b"<?xml" in head


def test_an_unknown_format_and_a_bad_place_are_named(tmp_path):
    frames = np.ones((1, 1, 2, 2), np.uint8)
    with pytest.raises(UserError, match="is no picture format"):
        write_picture(tmp_path / "x.bin", "x", frames)
    with pytest.raises(UserError, match="at most 400"):
        write_picture(tmp_path / "x.png", "x", np.ones((401, 1, 2, 2), np.uint8))
    write_picture(tmp_path / "x.png", "a$_$", frames)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_picture(tmp_path / "file" / "x.png", "x", frames)
