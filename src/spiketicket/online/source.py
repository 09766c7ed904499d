"""The source that a text names: a recording, a folder, a network port, a camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spiketicket.errors import UserError, argument
from spiketicket.events import known_suffixes
from spiketicket.online.files import Recordings
from spiketicket.online.written import Written, is_written

if TYPE_CHECKING:
    from spiketicket.events import TimeUnit
    from spiketicket.online.packets import Source


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a source is read; what does not concern one is left out."""

    speed: float = 1.0
    loop: bool = False
    sensor: tuple[int, int] | None = None
    time_unit: TimeUnit | None = None
    topic: str | None = None
    dataset: str = ""


def open_source(given: str, asked: Asked) -> Source:
    """The source of a name.

        PATH               a recording, or a folder of them
        -                  standard input: lines of text, or what ``record`` has written
        udp://HOST:PORT    AER in UDP; without a host it is 127.0.0.1
        camera:[MAKER[:NAME]]  a camera

    Raises:
        UserError: there is none, or it cannot be read.
    """
    if given == "-" or given.startswith("udp:"):
        if asked.sensor is None:
            what = "does not tell the size of its sensor, and the ticket does not either"
            raise UserError(what, where=given, remedy=f"Give {argument('sensor')}")
        return _of_network(given, asked.sensor)
    if given.startswith("camera:"):
        from spiketicket.online.cameras import open_camera

        return open_camera(given)
    files = _files(Path(given))
    if len(files) == 1 and not asked.loop and is_written(files[0]):
        return Written(files[0], asked.sensor, speed=asked.speed)
    return Recordings(
        files,
        speed=asked.speed,
        loop=asked.loop,
        sensor=asked.sensor,
        time_unit=asked.time_unit,
        topic=asked.topic,
        dataset=asked.dataset,
    )


def _of_network(given: str, sensor: tuple[int, int]) -> Source:
    if given != "-":
        from spiketicket.online.udp import Udp

        return Udp(given, sensor)
    import sys

    from spiketicket.online.standard_input import StandardInput

    if sys.stdin is None or sys.stdin.isatty():
        what = "nothing comes from standard input"
        raise UserError(what, where="-", remedy="Pipe in lines of microseconds, x, y, polarity")
    return StandardInput(sys.stdin.fileno(), sensor)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise UserError("no such file or folder", where=str(path))
        return [path]
    suffixes = known_suffixes()
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    if not found:
        what = "has no recording of events"
        remedy = f"They are named {', '.join(suffixes)}"
        raise UserError(what, where=str(path), remedy=remedy)
    return found
