"""Time to frame a recording, beside the peers' functions, and whether each counts every event.

    python benchmarks/event_frames.py [--rounds 31] [--events 300000] [--output FILE]

Timed in turns, as turns.py says, on one thread. The recording is random: events at any time and
on any pixel of a 128x128 sensor, framed to [16, 2, 128, 128] by equal time and by equal count.

Contenders, each given the form of events that it takes without a conversion:
    ours           spiketicket.events.frames.to_frames, filters off
    ours-hot       the same with the hot pixel filter
    ours-denoise   the same with the denoising of 5 ms
    spikingjelly   datasets.integrate_events_by_fixed_frames_number
    tonic          functional.to_frame_numpy, which ToFrame calls

Of the peers only the module with that function is loaded: the packages around it ask for
torchvision, tqdm and others that the function does not use. A peer that cannot be imported is
named and left out. tonic is GPL-3, so it is no dependency; it is taken from a folder of its own:

    pip install --no-deps --target tonic-here tonic
    PYTHONPATH=tonic-here python benchmarks/event_frames.py
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import statistics
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from turns import take_turns

STEPS, SIDE, DURATION_US = 16, 128, 6_000_000
PEERS = ("spikingjelly", "tonic")
CONTENDERS = ("ours", "ours-hot", "ours-denoise", *PEERS)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--contenders", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    absent = {name for name in PEERS if importlib.util.find_spec(name) is None}
    for name in absent.intersection(options.contenders):
        print(f"{name} is left out: it cannot be imported; see --help", file=sys.stderr)
    contenders = [name for name in options.contenders if name not in absent]
    rows = []
    for by in ("time", "count"):
        rows += race(contenders, by, options.events, options.rounds)
    for row in rows:
        print(json.dumps(row))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def race(names: list[str], by: str, events: int, rounds: int) -> list[dict[str, Any]]:
    """One row per contender, timed in turns."""
    cases = [{"contender": name, "by": by, "events": events} for name in names]
    timed = take_turns(_make, cases, rounds, threads=1)
    ours = next((t for c, t in zip(cases, timed, strict=True) if c["contender"] == "ours"), {})
    rows = []
    for case, result in zip(cases, timed, strict=True):
        row = {"benchmark": "event_frames", "steps": STEPS, "side": SIDE, "threads": 1, **case}
        if "error" in result:
            rows.append({**row, "error": result["error"]})
            continue
        milliseconds = [1000 * s for s in result["seconds"]]
        row |= {
            **result["machine"],
            **counted(case),
            **peer_version(case["contender"]),
            "ms": round(statistics.median(milliseconds), 3),
            "ms_min": round(min(milliseconds), 3),
            "ms_max": round(max(milliseconds), 3),
            "rounds": len(milliseconds),
        }
        if "seconds" in ours:
            pairs = zip(result["seconds"], ours["seconds"], strict=True)
            row["times_ours"] = round(statistics.median(a / b for a, b in pairs), 2)
        rows.append(row)
    return rows


def peer_version(name: str) -> dict[str, str]:
    """The release of a peer."""
    return {"peer_version": importlib.metadata.version(name)} if name in PEERS else {}


def counted(case: dict[str, Any]) -> dict[str, Any]:
    """How many events are in the frames; without filters also whether these are all, in place.

    That is, whether each is on its pixel and polarity exactly once.
    """
    frames = np.asarray(_framing(case)())
    found = frames.astype(np.int64).sum(0)
    row = {"events_in_frames": int(found.sum()), "dtype": str(frames.dtype)}
    if case["contender"] in ("ours-hot", "ours-denoise"):
        return row
    data = recording(case["events"])
    total = np.zeros((2, SIDE, SIDE), np.int64)
    np.add.at(total, (data["p"], data["y"], data["x"]), 1)
    return {**row, "exact": bool(np.array_equal(found, total))}


def recording(count: int) -> Any:
    """A random recording, an array of our events [count]."""
    from spiketicket.events.types import EVENT

    rng = np.random.default_rng(0)
    data = np.zeros(count, EVENT)
    data["t"] = np.sort(rng.integers(0, DURATION_US, count))
    data["x"], data["y"] = rng.integers(0, SIDE, (2, count))
    data["p"] = rng.integers(0, 2, count)
    return data


def _make(case: dict[str, Any]) -> Callable[[], None]:
    framing = _framing(case)

    def step() -> None:
        framing()

    return step


def _framing(case: dict[str, Any]) -> Callable[[], Any]:
    data, by = recording(case["events"]), case["by"]
    if case["contender"] == "spikingjelly":
        return _spikingjelly(data, "number" if by == "count" else by)
    if case["contender"] == "tonic":
        return _tonic(data, "n_event_bins" if by == "count" else "n_time_bins")
    from spiketicket.events.frames import FrameConfig, to_frames
    from spiketicket.events.types import Events

    filters = {"ours-hot": {"hot_pixel": 3.0}, "ours-denoise": {"denoise_us": 5000}}
    config = FrameConfig(steps=STEPS, by=by, **filters.get(case["contender"], {}))
    events = Events(data, SIDE, SIDE)
    return lambda: to_frames(events, config)


def _spikingjelly(data: Any, split_by: str) -> Callable[[], Any]:
    import torch.utils.data  # noqa: F401  or the patch would take it away again

    unused = ("torchvision", "tqdm", "matplotlib")
    with mock.patch.dict(sys.modules, {name: mock.MagicMock() for name in unused}):
        importlib.import_module("spikingjelly")
        _bare("spikingjelly.datasets", _folder("spikingjelly") / "datasets")
        module = importlib.import_module("spikingjelly.datasets.utils")
    events = {name: np.ascontiguousarray(data[name]) for name in "txyp"}
    frame = module.integrate_events_by_fixed_frames_number
    return lambda: frame(events, split_by, STEPS, SIDE, SIDE)


def _tonic(data: Any, bins: str) -> Callable[[], Any]:
    _bare("tonic", _folder("tonic"))
    _bare("tonic.functional", _folder("tonic") / "functional")
    module = importlib.import_module("tonic.functional.to_frame")
    dtype = [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)]
    events = np.zeros(len(data), dtype)
    for name in "txyp":
        events[name] = data[name]
    return lambda: module.to_frame_numpy(events, (SIDE, SIDE, 2), **{bins: STEPS})


def _folder(package: str) -> Path:
    if package in sys.modules:
        return Path(sys.modules[package].__path__[0])
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    return Path(spec.origin).parent


def _bare(name: str, folder: Path) -> None:
    """A package whose modules can be imported without running its __init__."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


if __name__ == "__main__":
    main()
