"""The source that a text names: a recording, a folder, a network port, a camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spiketicket.errors import UserError
from spiketicket.events import known_suffixes
from spiketicket.online.files import Recordings

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
    """The source of a name: ``PATH`` of a recording or a folder of them.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    return Recordings(
        _files(Path(given)),
        speed=asked.speed,
        loop=asked.loop,
        sensor=asked.sensor,
        time_unit=asked.time_unit,
        topic=asked.topic,
        dataset=asked.dataset,
    )


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
