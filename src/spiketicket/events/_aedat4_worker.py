"""Reads an AEDAT 4 file in a process of its own: ``python _aedat4_worker.py FILE BYTES``.

The package ``aedat`` trusts what it reads: a damaged file can end the process that it runs in.
BYTES is the memory that it may take beyond that of its start.

Written to stdout, each part with its length in four bytes (little-endian) ahead of it: the streams
as JSON; the events of a packet, 13 bytes each as in ``_types.EVENT``; a part of length 0 where the
file ends. Where the reader fails, its words follow instead, behind the length 0xFFFFFFFF, and
0xFFFFFFFE says that it lacks memory.
"""

from __future__ import annotations

import json
import sys

import aedat
import numpy as np

FAILED, NO_MEMORY = 0xFFFF_FFFF, 0xFFFF_FFFE


def main() -> None:
    """Write all parts of the file that the command line names."""
    event = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
    try:
        limit_memory(int(sys.argv[2]))
        decoder = aedat.Decoder(sys.argv[1])
        streams = decoder.id_to_stream()
        _write(json.dumps(streams).encode())
        first = next((key for key, value in streams.items() if value["type"] == "events"), None)
        for packet in decoder:
            if packet["stream_id"] == first and len(packet.get("events", ())):
                events = np.empty(len(packet["events"]), event)
                for name, other in zip("txyp", ("t", "x", "y", "on"), strict=True):
                    events[name] = packet["events"][other]
                _write(events.tobytes())
        _write(b"")
    except MemoryError:
        _write(b"", NO_MEMORY)
    # A panic of the Rust code is a BaseException and no Exception.
    except BaseException as error:
        _write(str(error).encode(), FAILED)


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
