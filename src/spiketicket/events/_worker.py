"""Runs one reader of ``workers``: ``python -m spiketicket.events._worker KIND FILE BYTES JSON``.

BYTES is the memory that it may take beyond that of its start, JSON what it is asked for. Written to
stdout, each part with its length in four bytes (little-endian) ahead of it; a part of length 0
where the file ends. Where the reader fails, its words follow instead, behind the length 0xFFFFFFFF,
and 0xFFFFFFFE says that it lacks memory.
"""

from __future__ import annotations

import importlib
import json
import sys

FAILED, NO_MEMORY = 0xFFFF_FFFF, 0xFFFF_FFFE
KINDS = ("aedat4", "hdf5", "mcap")


def main() -> None:
    """Write all parts of the file that the command line names."""
    try:
        kind, path, size, asked = sys.argv[1:]
        reader = importlib.import_module(f"spiketicket.events.workers.{KINDS[KINDS.index(kind)]}")
        limit_memory(int(size))
        for part in reader.parts(path, json.loads(asked)):
            if part:
                _write(part)
        _write(b"")
    except MemoryError:
        _write(b"", NO_MEMORY)
    # A panic of Rust code is a BaseException and no Exception.
    except BaseException as error:
        _write((str(error) or type(error).__name__).encode("utf-8", "replace"), FAILED)


def limit_memory(size: int) -> None:
    """Let what asks for more memory fail, on systems that tell how much there is already."""
    try:
        import resource
        from pathlib import Path

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + size
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError, ValueError):
        pass


def _write(part: bytes, length: int | None = None) -> None:
    sys.stdout.buffer.write((len(part) if length is None else length).to_bytes(4, "little"))
    sys.stdout.buffer.write(part)


if __name__ == "__main__":
    main()
