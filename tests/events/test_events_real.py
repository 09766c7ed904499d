"""Real recordings, below SPIKETICKET_DATA, and other readers of the same formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.events import read_events, read_spans

DATA = Path(os.environ.get("SPIKETICKET_DATA") or "no data")


def require(*parts: str) -> Path:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"SPIKETICKET_DATA has no {'/'.join(parts)}")
    return path


def test_nmnist() -> None:
    files = sorted(require("N-MNIST-1k", "Train").glob("*/*.bin"))
    assert len(files) >= 1000
    counts = []
    for path in files:
        events = read_events(path, sensor=(34, 34))
        assert events.notes == ()
        assert 200_000 < events.duration_us < 400_000
        counts.append(len(events))
    assert 3500 < np.mean(counts) < 4700


def test_gestures() -> None:
    files = sorted(require("dvs128-gesture-snippets").glob("*.bin"))
    assert len(files) == 10
    for path in files:
        events = read_events(path, sensor=(128, 128))
        assert events.notes == ()
        assert len(events) == path.stat().st_size // 5
        halves = read_spans(path, [(0, 700_000), (700_000, 10**7)], sensor=(128, 128))
        assert np.array_equal(np.concatenate([half.data for half in halves]), events.data)


def test_sample_of_nmnist() -> None:
    events = read_events(require("format-samples", "sample_nmnist.bin"), sensor=(34, 34))
    assert (len(events), events.notes) == (4325, ())


def test_sample_of_ncars() -> None:
    events = read_events(require("format-samples", "sample_ncars.dat"))
    assert len(events) == 2009
    assert events.data[0].tolist() == (0, 25, 8, 0)
    assert 99_000 < events.duration_us < 100_000
    assert events.sensor == (78, 42)


def test_sample_of_an_aedat_header() -> None:
    from spiketicket.errors import UserError

    with pytest.raises(UserError, match="holds no event"):
        read_events(require("format-samples", "sample_aedat_header.aedat"))


def test_sample_of_aedat4_and_its_peer() -> None:
    import aedat

    path = require("format-samples", "sample.aedat4")
    events = read_events(path)
    assert (len(events), events.sensor, events.notes) == (111954, (320, 240), ())
    packets = [packet["events"] for packet in aedat.Decoder(path) if "events" in packet]
    theirs = np.concatenate(packets)
    for ours, name in ((events.t, "t"), (events.x, "x"), (events.y, "y"), (events.p, "on")):
        assert np.array_equal(ours, theirs[name])


def spikingjelly() -> Any:
    """Its readers, where they can be imported: they ask for torchvision and more."""
    try:
        from spikingjelly.datasets import cifar10_dvs, utils
    except ImportError as error:
        pytest.skip(f"spikingjelly's readers cannot be imported: {error}")
    return utils, cifar10_dvs


def test_spikingjelly_reads_the_same(tmp_path: Path, encode: Any) -> None:
    utils, cifar10_dvs = spikingjelly()
    events = [(1000 + 7 * i, i % 128, 5 * i % 128, i % 2) for i in range(400)]
    (tmp_path / "a.aedat").write_bytes(encode.aedat3(events))
    theirs = utils.load_aedat_v3(tmp_path / "a.aedat")
    ours = read_events(tmp_path / "a.aedat")
    assert all(np.array_equal(ours.data[name], theirs[name]) for name in "txyp")
    (tmp_path / "a.bin").write_bytes(encode.bin5(events))
    theirs = utils.load_ATIS_bin(tmp_path / "a.bin")
    ours = read_events(tmp_path / "a.bin")
    assert all(np.array_equal(ours.data[name], theirs[name]) for name in "txyp")
    (tmp_path / "b.aedat").write_bytes(encode.aedat2(events))
    theirs = cifar10_dvs._load_origin_data(tmp_path / "b.aedat")
    ours = read_events(tmp_path / "b.aedat")
    exchanged = {"t": "t", "x": "y", "y": "x", "p": "p"}
    assert all(np.array_equal(ours.data[name], theirs[exchanged[name]]) for name in "txyp")
