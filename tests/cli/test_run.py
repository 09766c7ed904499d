"""``spiketicket run``: pictures and recordings in, classes out, one line per file."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_tickets import FRAMING, SIDE, make_ticket, recording

from spiketicket import Engine
from spiketicket.data import load_dataset, make_config
from spiketicket.engine import library
from spiketicket.engine.inputs import Recordings
from spiketicket.errors import UserError
from spiketicket.events.frames import FrameConfig, to_frames
from spiketicket.ticket import Ticket


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def pictures(place):
    """A ticket, and a folder of five pictures with their pixels."""
    ticket = place / "grey.ticket"
    make_ticket(1, 1, {"name": "digits", "config": {}}).save(ticket)
    folder = place / "pictures"
    (folder / "b").mkdir(parents=True)
    x = load_dataset(make_config("digits", size=SIDE)).test.x[:5]
    for i, name in enumerate(("a.png", "b/c.PNG", "b/d.png", "e.bmp", "f.png")):
        Image.fromarray(x[i, 0]).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return ticket, folder, x


def test_a_folder_in_order(spike, pictures):
    ticket, folder, x = pictures
    result = spike("run", str(ticket), str(folder), "--json", "--top", "2", "--backend", "numpy")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["backend"] == "numpy"
    assert report["errors"] == []
    found = [entry["input"] for entry in report["results"]]
    order = ["a.png", "b/c.PNG", "b/d.png", "e.bmp", "f.png"]
    assert found == [str(folder / name) for name in order]
    engine = Engine(Ticket.load(ticket), backend="numpy")
    logits = engine.run(x)
    for entry, row in zip(report["results"], logits, strict=True):
        first, second = entry["classes"]
        assert first["index"] == row.argmax()
        assert first["class"] == engine.classes[first["index"]]
        assert first["logit"] == row.max()
        assert first["logit"] >= second["logit"]
        assert first["probability"] == pytest.approx(np.exp(row.max()) / np.exp(row).sum())


def test_lines_for_people(spike, pictures):
    ticket, folder, _ = pictures
    result = spike("run", str(ticket), str(folder / "a.png"), "--backend", "numpy", "--top", "9")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{folder / 'a.png'}: ")
    assert result.stdout.count("%") == 4
    assert "\x1b" not in result.stdout


def test_a_bad_file_among_good_ones(spike, pictures, tmp_path):
    ticket, folder, _ = pictures
    bad, large, deep = tmp_path / "bad.png", tmp_path / "large.png", tmp_path / "deep.png"
    bad.write_bytes(b"\x89PNG nothing")
    Image.new("L", (20, 18)).save(large)
    Image.fromarray(np.full((SIDE, SIDE), 300, np.uint16)).save(deep)
    files = [str(folder / "a.png"), str(bad), str(large), str(deep), "no.png", str(tmp_path / "x")]
    (tmp_path / "x").mkdir()
    result = spike("run", str(ticket), *files, str(folder / "f.png"), "--backend", "numpy")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    lines = result.stderr.splitlines()
    for line, says in zip(
        lines,
        (
            "bad.png: cannot be read",
            "large.png: must be 16 pixels wide and 16 high (got '20x18')",
            "deep.png: has pixels of more than 8 bits",
            "no.png: no such file",
            "x: has no file",
        ),
        strict=True,
    ):
        assert line.startswith("error: ")
        assert says in line
    assert spike("run", str(ticket), str(bad), "--backend", "numpy").exit_code == 2
    report = spike("run", str(ticket), str(bad), files[0], "--json", "--backend", "numpy")
    assert [e["input"] for e in json.loads(report.stdout)["errors"]] == [str(bad)]
    resized = spike("run", str(ticket), str(large), "--resize", "--backend", "numpy")
    assert resized.exit_code == 0


def test_a_named_pipe_is_refused_at_once(spike, pictures, tmp_path):
    ticket, folder, _ = pictures
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "t.ticket")
    result = spike("run", str(ticket), str(tmp_path / "a.png"), str(folder / "f.png"))
    assert result.exit_code == 1
    assert "a.png: is not a file" in result.stderr
    result = spike("run", str(tmp_path / "t.ticket"), str(folder / "f.png"))
    assert result.exit_code == 2
    assert "t.ticket: is not a file" in result.stderr


def test_the_plan(spike, pictures):
    ticket, folder, _ = pictures
    result = spike("run", str(ticket), str(folder / "a.png"), "--plan", "--backend", "numpy")
    assert "features.1.synapse" in result.stdout
    assert "numpy" in result.stdout
    report = spike(
        "run", str(ticket), str(folder / "a.png"), "--plan", "--json", "--backend", "numpy"
    )
    steps = json.loads(report.stdout)["plan"]
    assert steps[-1]["name"] == "classifier"
    assert steps[0]["us"] > 0


@pytest.mark.skipif(not library.available(), reason="no C library was built")
def test_faster_ways_give_the_same(spike, pictures):
    ticket, folder, _ = pictures
    reports = [
        json.loads(spike("run", str(ticket), str(folder), "--json", *options).stdout)
        for options in ((), ("--threads", "2", "--latency", "--tune"))
    ]
    assert reports[0]["backend"] == "c"
    assert reports[0] == reports[1]
    refused = spike("run", str(ticket), str(folder), "--latency", "--backend", "numpy")
    assert refused.exit_code == 2
    assert "mode: numpy computes on one thread" in refused.stderr


def test_recordings_are_framed_as_in_the_recipe(spike, place):
    ticket, path = place / "events.ticket", place / "one.npy"
    make_ticket(2, 3, {"name": "nmnist", "config": FRAMING}).save(ticket)
    events = recording(path)
    frames = to_frames(events, FrameConfig(**FRAMING))
    expected = Engine(Ticket.load(ticket), backend="numpy").run(frames[None])
    result = spike("run", str(ticket), str(path), "--json", "--top", "4", "--backend", "numpy")
    assert result.exit_code == 0, result.stderr
    (entry,) = json.loads(result.stdout)["results"]
    logits = {c["index"]: c["logit"] for c in entry["classes"]}
    assert [logits[i] for i in range(4)] == expected[0].tolist()
    refused = spike("run", str(ticket), str(path), "--resize", "--backend", "numpy")
    assert refused.exit_code == 2
    assert "--resize" in refused.stderr
    picture = place / "p.png"
    Image.new("L", (SIDE, SIDE)).save(picture)
    wrong = spike("run", str(ticket), str(picture), "--backend", "numpy")
    assert wrong.exit_code == 2
    assert "p.png" in wrong.stderr


def test_windows_of_a_recording(spike, place):
    ticket, path = place / "windows.ticket", place / "long.npy"
    config = {**FRAMING, "window_us": 30_000, "sensor": [34, 34]}
    make_ticket(2, 3, {"name": "event_folder", "config": config}).save(ticket)
    recording(path, seed=1)
    result = spike("run", str(ticket), str(path), "--backend", "numpy")
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path} ") and " us: " in line for line in lines)


def test_units_and_resets_of_recordings(spike, place):
    ticket, path = place / "plain.ticket", place / "twice.npz"
    config = {**FRAMING, "sensor": [34, 34]}
    make_ticket(2, 3, {"name": "event_folder", "config": config}).save(ticket)
    data = recording(place / "once.npy").data
    arrays = {name: np.concatenate([data[name]] * 2) for name in "xyp"}
    np.savez(path, t=np.concatenate([data["t"]] * 2) / 1e6, **arrays)
    refused = spike("run", str(ticket), str(path), "--backend", "numpy")
    assert refused.exit_code == 2
    assert "look like seconds" in refused.stderr
    seconds = ("run", str(ticket), str(path), "--time-unit", "s", "--backend", "numpy")
    refused = spike(*seconds)
    assert refused.exit_code == 2
    assert "--split-at-reset" in refused.stderr
    result = spike(*seconds, "--split-at-reset")
    assert result.exit_code == 0
    lines = [line.removeprefix(str(path)) for line in result.stdout.splitlines()]
    assert [line[:12] for line in lines] == [" part 1 of 2", " part 2 of 2"]
    assert lines[0][12:] == lines[1][12:]
    grey = place / "grey-only.ticket"
    make_ticket(1, 1, {"name": "digits", "config": {}}).save(grey)
    refused = spike("run", str(grey), "x.png", "--split-at-reset", "--backend", "numpy")
    assert refused.exit_code == 2
    assert "--split-at-reset: is for recordings" in refused.stderr


def test_an_unknown_framing_is_told(spike, place):
    ticket = place / "unknown.ticket"
    make_ticket(2, 3, {}).save(ticket)
    result = spike("run", str(ticket), "x.bin", "--backend", "numpy")
    assert result.exit_code == 2
    assert "how recordings become frames" in result.stderr
    still = place / "three.ticket"
    make_ticket(2, 1, {}).save(still)
    result = spike("run", str(still), "x.png", "--backend", "numpy")
    assert result.exit_code == 2
    assert "2 channels" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        {"sensor": 3},
        {"sensor": ["a", 2]},
        {"sensor": [1, 2, 3]},
        {"window_us": "x"},
        {"window_us": 0},
        {"window_us": [1]},
        {"window_us": 1.5},
    ],
    ids=str,
)
def test_a_framing_of_wrong_types_is_told(words):
    data = {"name": "event_folder", "config": {**FRAMING, **words}}
    with pytest.raises(UserError, match=rf"data\.config\.{next(iter(words))}"):
        make_ticket(2, 3, data).to_bytes()
    with pytest.raises(UserError, match="does not say how recordings become frames"):
        Recordings(data, (3, 2, SIDE, SIDE), None, split=False)


def test_no_heavy_package_for_a_picture(pictures):
    """With either backend; without the C library a note on standard error says so."""
    ticket, folder, _ = pictures
    code = (
        "import sys\nfrom spiketicket.cli import main\n"
        f"sys.argv[1:] = ['run', {str(ticket)!r}, {str(folder / 'a.png')!r}]\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "print(sorted({'torch', 'scipy', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_gets_no_traceback(pictures):
    ticket, folder, _ = pictures
    code = "from spiketicket.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(ticket), str(folder), "--backend", "numpy"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--top", "0"], "--top: must be >= 1 (got 0)"),
        (["--threads", "two"], "--threads: must be a whole number (got 'two')"),
        (
            ["--level", "sse"],
            "--level: is none of its values (got 'sse'). Known: generic, ",
        ),
        (["--plans"], "--plans: no such option. Did you mean --plan?"),
    ],
)
def test_options_that_mean_nothing(spike, pictures, options, said):
    ticket, folder, _ = pictures
    result = spike("run", str(ticket), str(folder / "a.png"), *options)
    assert result.exit_code == 2
    assert said in result.stderr


def test_help_says_the_options(spike):
    result = spike("run", "--help")
    assert result.exit_code == 0
    for option in ("TICKET", "INPUT", "--top", "--resize", "--threads", "--plan", "--json"):
        assert option in result.stdout


def test_pictures_are_read_whole_or_refused(spike, pictures):
    ticket, folder, _ = pictures
    for name, options, said in (
        ("deep.png", {}, "more than 8 bits"),
        ("pages.tif", {"save_all": True}, "several pages or frames"),
        ("cmyk.jpg", {}, "CMYK is turned to RGB"),
    ):
        path = folder.parent / name
        image = Image.new("CMYK" if name == "cmyk.jpg" else "L", (SIDE, SIDE), 9)
        if name == "deep.png":
            image = Image.fromarray(np.full((SIDE, SIDE), 40000, np.uint16))
        image.save(path, **options, **({"append_images": [image]} if options else {}))
        result = spike("run", str(ticket), str(path), "--backend", "numpy")
        assert result.exit_code == (0 if name == "cmyk.jpg" else 2)
        assert said in result.stderr
