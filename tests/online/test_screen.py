"""What a person sees: the picture, the bars, and no way out of the terminal."""

import numpy as np
from live_events import SENSOR, drawn

from spiketicket.events import EVENT
from spiketicket.online import screen


def test_the_picture_shows_where_the_events_are() -> None:
    data = np.zeros(40, EVENT)
    data["x"], data["y"] = 0, 33
    lines = screen.picture(data, SENSOR, 80, 20)
    assert len({len(line) for line in lines}) == 1
    assert lines[-1][0] == screen.SHADES[-1]
    assert "".join(lines).strip() == screen.SHADES[-1]


def test_the_picture_fits_whatever_room_there_is() -> None:
    data = drawn(5000, 1000)
    for sensor in (SENSOR, (640, 480), (480, 640), (1, 65536)):
        for columns, rows in ((80, 20), (1, 1), (200, 3), (10, 100)):
            lines = screen.picture(
                data[:0] if sensor == (1, 65536) else data, sensor, columns, rows
            )
            assert 1 <= len(lines) <= rows
            assert all(len(line) <= columns for line in lines)


def test_the_bars_are_shares_and_mark_what_is_told() -> None:
    lines = screen.bars([np.log(3.0), 0.0], ["cat", "bad\x1b[2Jname"], 1)
    assert lines[0].startswith("  cat")
    assert lines[0].count("=") == 15
    assert lines[0].endswith("75%")
    assert lines[1].startswith("> bad")
    assert "\x1b" not in "".join(lines)
    many = screen.bars([float(n) for n in range(1000)], [str(n) for n in range(1000)], 3)
    assert len(many) == 16
    assert many[0].startswith("> 3 ")


def test_side_by_side_is_cut_to_the_columns() -> None:
    assert screen.beside(["ab", "c"], ["x", "y", "zzzz"], 6) == ["ab  x", "c   y", "    zz"]
