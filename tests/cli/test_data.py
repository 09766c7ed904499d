"""data: list, check, get."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result

from spiketicket.recipe import registry

Run = Callable[..., Result]


def test_list_names_every_dataset(spike: Run) -> None:
    output = spike("data", "list").stdout
    listed = json.loads(spike("data", "list", "--json").stdout)
    assert tuple(entry["name"] for entry in listed) == registry.names("data")
    for entry in listed:
        assert entry["name"] in output
        assert entry["licence"]


def test_check_of_data_that_is_there(spike: Run) -> None:
    result = spike("data", "check", "digits")
    assert result.exit_code == 0
    assert "1,437" in result.stdout
    report = json.loads(spike("data", "check", "digits", "--json").stdout)
    assert report["ok"] is True
    assert sum(report["test_counts"]) == 360


def test_check_of_data_that_is_not_there(spike: Run, tmp_path: Path) -> None:
    result = spike("data", "check", "cifar10", "--root", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "data get cifar10" in result.stderr
    report = spike("data", "check", "cifar10", "--root", str(tmp_path), "--json")
    assert report.exit_code == 2
    assert json.loads(report.stdout)["ok"] is False
    assert list(tmp_path.iterdir()) == []


def test_a_path_where_a_name_is_needed(spike: Run, tmp_path: Path) -> None:
    (tmp_path / "own.toml").touch()
    for command in ("check", "get"):
        folder = spike("data", command, str(tmp_path))
        assert folder.exit_code == 2
        assert f"{tmp_path}: is a folder, and the name of a dataset is needed" in folder.stderr
        assert "`data list` names them; a folder is given as --root" in folder.stderr
        file = spike("data", command, str(tmp_path / "own.toml"))
        assert file.exit_code == 2
        assert "is a file, and the name of a dataset is needed" in file.stderr


def test_get_of_data_that_comes_with_the_package(spike: Run, tmp_path: Path) -> None:
    result = spike("data", "get", "digits", "--root", str(tmp_path))
    assert result.exit_code == 2
    assert "comes with this package" in result.stderr


def recording(path: Path, last: int = 3000) -> Path:
    events = [(t, t // 10 % 34, t // 100 % 34, t // 50 % 2) for t in range(0, last, 10)]
    rows = (bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for t, x, y, p in events)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(rows))
    return path


def test_view_writes_a_picture_and_names_it(spike: Run, tmp_path: Path) -> None:
    path = recording(tmp_path / "a.bin")
    out = tmp_path / "a.svg"
    sensor = ("--set", "data.sensor=[34, 34]")
    result = spike("data", "view", str(path), "-o", str(out), *sensor)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(out)
    assert out.read_text().count("<image") == 16


def test_view_of_what_is_no_recording_is_an_error(spike: Run, tmp_path: Path) -> None:
    for target, said in (("nowhere.bin", "is no file"), ("digits:1", "no recordings of events")):
        result = spike("data", "view", target, "-o", str(tmp_path / "x.svg"))
        assert result.exit_code == 2
        assert said in result.stderr
    path = recording(tmp_path / "a.bin")
    result = spike("data", "view", str(path), "-o", str(tmp_path / "x.png"))
    assert result.exit_code == 2
    assert "is no SVG file" in result.stderr
    assert not (tmp_path / "x.png").exists()


def test_check_of_recordings_shows_them_and_names_a_broken_one(
    spike: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKETICKET_CACHE", str(tmp_path / "cache"))
    for name in ("a", "b"):
        for i in range(3):
            recording(tmp_path / "mine" / name / f"{i}.bin")
    options = ("--root", str(tmp_path / "mine"), "--set", "data.test_fraction=0.34")
    result = spike("data", "check", "event_folder", *options)
    assert result.exit_code == 0
    for fact in ("300", "2.99 ms", "thousand events per second", "train samples"):
        assert fact in result.stdout
    (tmp_path / "mine" / "b" / "1.bin").write_bytes(b"\0\0")
    result = spike("data", "check", "event_folder", *options)
    assert result.exit_code == 2
    assert "1.bin" in result.stdout
    assert "1.bin" in result.stderr


def test_check_says_what_is_in_a_folder_and_why_it_is_remarkable(
    spike: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKETICKET_CACHE", str(tmp_path / "cache"))
    mine = tmp_path / "mine"
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        for label, name in enumerate(("left", "right")):
            for i in range(count):
                last = 3000 + 100 * (len(part) + 10 * i + 100 * label)
                recording(mine / part / name / f"{i}.bin", last)
    one_sided = mine / "train" / "left" / "0.bin"
    one_sided.write_bytes(bytes([1, 2, 0x80, 0, 9, 3, 4, 0x80, 1, 0]))
    copied = mine / "test" / "right" / "0.bin"
    copied.write_bytes((mine / "train" / "right" / "1.bin").read_bytes())
    (mine / "notes.txt").write_text("mine")
    options = ("--root", str(mine), "--set", "data.sensor=[34, 34]")
    told = json.loads(spike("data", "check", "event_folder", *options, "--json").stdout)
    assert told["validation_counts"] == [2, 2]
    assert told["train_counts"] == [3, 3]
    output = " ".join(spike("data", "check", "event_folder", *options).stdout.split())
    assert "left 3 2 1 right 3 2 1" in output
    assert "validation samples 4" in output
    assert "remark 0.bin: all 2 events are ON" in output
    assert f"left out, as it is not in train, test, val: {mine / 'notes.txt'}" in output
    assert "equal bytes: 1 file is in train and in test, first" in output
