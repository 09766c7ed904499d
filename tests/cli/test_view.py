"""``spiketicket view`` and what ``run`` does with a camera of another size."""

from __future__ import annotations

import json

import bag_files
import camera_files
import numpy as np
import pytest
from PIL import Image

EVENTS = [(20_000 * (i // 8), 16 * (i % 8), i // 8 % 128, i // 8 % 2) for i in range(800)]


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(camera_files.evt3(EVENTS))
    return path


def test_numbers_and_a_picture_of_blocks(spike, raw):
    result = spike("view", str(raw))
    assert result.exit_code == 0
    assert "128x128" in result.stdout
    assert "50.0 % ON, 50.0 % OFF" in result.stdout
    assert "1,980.000 ms" in result.stdout
    lines = result.stdout.splitlines()[-10:]
    assert any(set(line) & set("▀▄█") for line in lines)
    assert "\x1b" not in result.stdout


def test_json(spike, raw):
    told = json.loads(spike("view", str(raw), "--json").stdout)
    assert (told["events"], told["width"], told["height"]) == (800, 128, 128)
    assert (told["duration_s"], told["gaps"], told["notes"]) == (1.98, 0, [])


def test_a_picture_has_the_events_where_they_are(spike, raw, tmp_path):
    out = tmp_path / "a.png"
    assert spike("view", str(raw), "-o", str(out)).exit_code == 0
    with Image.open(out) as image:
        pixels = np.asarray(image.convert("RGB"))[::2, ::2]
    drawn = {(int(x), int(y)) for y, x in np.argwhere((pixels < 250).any(2))}
    assert drawn == {(x, y) for _, x, y, _ in EVENTS}
    on, off = pixels[1, 16].astype(int), pixels[2, 16].astype(int)
    assert on[2] > on[0]
    assert off[0] > off[2]


@pytest.mark.parametrize("suffix", [".gif", ".apng"])
def test_what_moves_has_each_event_in_its_frame(spike, raw, tmp_path, suffix):
    out = tmp_path / f"a{suffix}"
    assert spike("view", str(raw), "-o", str(out)).exit_code == 0
    with Image.open(out) as image:
        assert (image.n_frames, image.info["duration"]) == (50, 40)
        for number in (0, 1, 30, 49):
            image.seek(number)
            pixels = np.asarray(image.convert("RGB"))[::2, ::2]
            rows = set(np.argwhere((pixels < 250).any(2))[:, 0].tolist())
            assert rows == {y for t, _, y, _ in EVENTS if t // 40_000 == number}


def test_speed_region_and_scale(spike, raw, tmp_path):
    out = tmp_path / "a.gif"
    fit = ["--roi", "0,0,64,128", "--scale", "16x32"]
    result = spike("view", str(raw), "-o", str(out), "--speed", "2", *fit)
    assert "16x32" in result.stdout
    with Image.open(out) as image:
        assert (image.n_frames, image.size) == (25, (128, 256))
    result = spike("view", str(raw), "-o", str(out), "--speed", "0.01")
    assert (result.exit_code, "raise --speed" in result.stderr.lower()) == (2, True)


def test_svg_is_that_of_data_view(spike, raw, tmp_path):
    for command, name in ((["view"], "a.svg"), (["data", "view"], "b.svg")):
        assert spike(*command, str(raw), "-o", str(tmp_path / name)).exit_code == 0
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.mp4"], "must end in .png, .svg, .gif or .apng"),
        (["--speed", "2"], "is of what moves"),
        (["-o", "a.gif", "--speed", "0"], "must be above 0"),
        (["-o", "a.gif", "--fps", "99"], "must be at most 50"),
        (["--roi", "0,0,999,9"], "must lie in the sensor of 128x128"),
        (["--roi", "1,0,9,9"], "no event lies in it"),
        (["--topic", "/a"], "is for bags and HDF5 files"),
        (["--sensor", "9x9"], "is of a sensor of 128x128"),
    ],
)
def test_mistakes(spike, raw, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    result = spike("view", str(raw), *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.raw"]


def test_a_bag_and_its_topics(spike, tmp_path):
    path = bag_files.db3(
        tmp_path / "a.db3", bag_files.messages(EVENTS, "evt3"), topic="/cam/events"
    )
    result = spike("view", str(path), "--topic", "/cam")
    assert result.exit_code == 2
    assert "--topic: the bag has no such topic; it has /cam/events (" in result.stderr
    assert "800" in spike("view", str(path)).stdout


def test_a_clock_that_is_reset(spike, tmp_path):
    late = [(t + 3_000_000, x, y, p) for t, x, y, p in EVENTS]
    path = tmp_path / "a.raw"
    path.write_bytes(camera_files.evt2(late) + camera_files.evt2(EVENTS).partition(b"% end\n")[2])
    result = spike("view", str(path), "-o", str(tmp_path / "a.gif"))
    assert "resets of the clock" in result.stdout
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 100


@pytest.mark.slow
def test_run_says_how_to_fit_a_larger_camera_and_does(spike, tmp_path):
    path = tmp_path / "a.raw"
    head = camera_files.raw_head("2.0", "% geometry 640x480\n")
    events = [(500 * i, 80 + 37 * i % 480, 11 * i % 480, i % 2) for i in range(600)]
    path.write_bytes(head + camera_files.evt2(events).partition(b"% end\n")[2])
    result = spike("run", "nmnist1k-vgg", str(path))
    assert result.exit_code == 2
    assert "has 640x480 pixels, and the ticket is of 34x34" in result.stderr
    fit = ["--roi", "80,0,480,480", "--scale", "34x34"]
    assert " ".join(fit) in result.stderr
    given = json.loads(spike("run", "nmnist1k-vgg", str(path), *fit, "--json").stdout)
    # The same events on a camera of the ticket's own size.
    small = [(t, (x - 80) * 34 // 480, y * 34 // 480, p) for t, x, y, p in events]
    other = tmp_path / "b.raw"
    own = camera_files.raw_head("2.0", "% geometry 34x34\n")
    other.write_bytes(own + camera_files.evt2(small).partition(b"% end\n")[2])
    wanted = json.loads(spike("run", "nmnist1k-vgg", str(other), "--json").stdout)
    for key in set(given["results"][0]) - {"input"}:
        assert given["results"][0][key] == wanted["results"][0][key]
