"""Speed and memory of the readers of event recordings, on one core.

    python benchmarks/event_readers.py [--megabytes 100] [--rounds 5] [--output results/....jsonl]

A synthetic file of each binary format (128x128, 10 million events per second with pauses, AEDAT 3.1
in packets of 1,000) is read in a process of its own, once to warm up and then ``rounds`` times.
Goals: 20 million events per second, and a peak of memory under 3 times the file's size.

The rate is over the processor's time of the process, which other work on the machine does not
lengthen; ``wall_events_per_s`` is over the time on the clock. The file lies in the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = {
    "bin5": (".bin", 5),
    "aedat2": (".aedat", 8),
    "aedat3": (".aedat", 8),
    "dat": (".dat", 8),
}
GOAL_EVENTS_PER_S = 20e6
GOAL_PEAK_RATIO = 3.0
PACKET = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--formats", nargs="*", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        print(json.dumps(measure(options.file, options.rounds)))
        return
    rows = []
    for name in options.formats:
        rows.append(row(name, options.megabytes, options.rounds))
        print(json.dumps(rows[-1]))
    print(table(rows))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def row(name: str, megabytes: int, rounds: int) -> dict[str, Any]:
    """One format: write its file, read it elsewhere."""
    from spiketicket.machine import processor

    suffix, size = FORMATS[name]
    count = megabytes * 1_000_000 // size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"recording{suffix}"
        write(path, name, count)
        written = path.stat().st_size
        command = [sys.executable, __file__, "--file", str(path), "--rounds", str(rounds)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    measured = json.loads(done.stdout)
    assert measured["events"] == count
    rate = count / statistics.median(measured["cpu_s"])
    return {
        "benchmark": "event_readers",
        "format": name,
        "events": count,
        "threads": 1,
        "file_mb": round(written / 1e6, 1),
        "rounds": rounds,
        "events_per_s": round(rate),
        "mb_per_s": round(rate * written / count / 1e6),
        "events_per_s_min": round(count / max(measured["cpu_s"])),
        "wall_events_per_s": round(count / statistics.median(measured["wall_s"])),
        "peak_ratio": round(measured["peak_bytes"] / written, 2),
        "goal_events_per_s": GOAL_EVENTS_PER_S,
        "goal_peak_ratio": GOAL_PEAK_RATIO,
        "device": processor.name(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def measure(path: Path, rounds: int) -> dict[str, Any]:
    """Read a file in this process; the peak is that of the first reading, over what was there."""
    from spiketicket.events import read_events

    before = peak()
    events = len(read_events(path, sensor=(128, 128)))
    grown = peak() - before
    cpu, wall = [], []
    for _ in range(rounds):
        started = time.process_time(), time.perf_counter()
        read_events(path, sensor=(128, 128))
        cpu.append(time.process_time() - started[0])
        wall.append(time.perf_counter() - started[1])
    return {"events": events, "peak_bytes": grown, "cpu_s": cpu, "wall_s": wall}


def peak() -> int:
    """Bytes of memory that this process had at most (Linux); getrusage tells the parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def write(path: Path, name: str, count: int) -> None:
    """A recording of ``count`` events of one format, a million at a time."""
    rng = np.random.default_rng(0)
    latest = 0
    with path.open("wb") as file:
        file.write(head(name))
        for start in range(0, count, 1_000_000):
            size = min(1_000_000, count - start)
            t = latest + np.cumsum(rng.random(size) < 0.1)
            t += 1000 * np.cumsum(rng.random(size) < 1e-5)
            latest = int(t[-1])
            x, y = rng.integers(0, 128, (2, size))
            file.write(body(name, t, x, y, rng.integers(0, 2, size)))


def head(name: str) -> bytes:
    return {
        "bin5": b"",
        "aedat2": b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n",
        "aedat3": b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n",
        "dat": b"% Version 2\n% Width 128\n% Height 128\n\x0c\x08",
    }[name]


def body(name: str, t: Any, x: Any, y: Any, p: Any) -> bytes:
    if name == "bin5":
        raw = np.empty((len(t), 5), np.uint8)
        raw[:, 0], raw[:, 1], raw[:, 2] = x, y, p << 7 | (t >> 16 & 127)
        raw[:, 3], raw[:, 4] = t >> 8 & 255, t & 255
        return raw.tobytes()
    pairs = np.empty((len(t), 2), ">u4" if name == "aedat2" else "<u4")
    if name == "aedat2":
        pairs[:, 0], pairs[:, 1] = (127 - y) << 8 | (127 - x) << 1 | (1 - p), t
    elif name == "dat":
        pairs[:, 0], pairs[:, 1] = t, x | y << 14 | p << 28
    else:
        pairs[:, 0], pairs[:, 1] = x << 17 | y << 2 | p << 1 | 1, t
        parts = [pairs[at : at + PACKET] for at in range(0, len(t), PACKET)]
        headers = [struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, *[len(part)] * 3) for part in parts]
        return b"".join(h + part.tobytes() for h, part in zip(headers, parts, strict=True))
    return pairs.tobytes()


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for a person."""
    lines = [f"{'format':10}{'M events/s':>12}{'(wall)':>10}{'MB/s':>8}{'peak/file':>11}"]
    for row in rows:
        rates = f"{row['events_per_s'] / 1e6:>12.1f}{row['wall_events_per_s'] / 1e6:>10.1f}"
        lines.append(f"{row['format']:10}{rates}{row['mb_per_s']:>8}{row['peak_ratio']:>11.2f}")
    goal = GOAL_EVENTS_PER_S / 1e6
    met = all(
        row["events_per_s"] >= GOAL_EVENTS_PER_S and row["peak_ratio"] < GOAL_PEAK_RATIO
        for row in rows
    )
    lines.append(f"goal: {goal:.0f} M events/s, peak < {GOAL_PEAK_RATIO:.0f}: {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
