"""Bytes that an installation adds to an empty environment.

    python benchmarks/install_size.py [--extras "" train] [--output results/install_size.jsonl]

For every set of extras ("" is none) an environment is made, the checkout installed into it by pip,
and the files counted: ``bytes`` is the sum of their sizes, ``disk_bytes`` what they take in blocks,
both less those of the environment before. Parts are told by their folder in site-packages. Needs
the network, or an index that pip knows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from spiketicket.experiment.provenance import machine, versions

ROOT = Path(__file__).resolve().parents[1]
PARTS = 6
"""Folders that are named."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--extras", nargs="*", default=[""])
    parser.add_argument("--output", type=Path, default=Path("results/install_size.jsonl"))
    options = parser.parse_args()
    rows = [measured(extras) for extras in options.extras]
    for row in rows:
        print(f"pip install {row['what']}: {row['bytes'] / 1e6:.1f} MB in {row['files']} files")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))


def measured(extras: str) -> dict[str, Any]:
    """An installation with these extras, less the environment that it was put into."""
    what = f".[{extras}]" if extras else "."
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "environment"
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        before = sizes(place)
        started = time.perf_counter()
        install = [place / "bin" / "python", "-m", "pip", "install", "-q", what]
        subprocess.run(install, check=True, cwd=ROOT)
        wall_s = time.perf_counter() - started
        new = {name: size for name, size in sizes(place).items() if name not in before}
    parts: dict[str, int] = {}
    for name, (size, _) in new.items():
        path = name.partition("/site-packages/")[2] or name
        part = path.partition("/")[0]
        parts[part] = parts.get(part, 0) + size
    largest = sorted(parts.items(), key=lambda part: -part[1])[:PARTS]
    found = {**versions(), **machine(torch.device("cpu"))}
    return {
        "benchmark": "install_size",
        "what": what,
        "bytes": sum(size for size, _ in new.values()),
        "disk_bytes": sum(disk for _, disk in new.values()),
        "files": len(new),
        "largest": dict(largest),
        "wall_s": round(wall_s, 1),
        "python": found["python"],
        "spiketicket": found["spiketicket"],
        "system": os.uname().machine,
    }


def sizes(place: Path) -> dict[str, tuple[int, int]]:
    """Size, and bytes on the disk, of every file below a folder; links are not followed."""
    found = {}
    for path in place.rglob("*"):
        if path.is_file() and not path.is_symlink():
            stat = path.stat()
            found[path.relative_to(place).as_posix()] = (stat.st_size, stat.st_blocks * 512)
    return found


if __name__ == "__main__":
    main()
