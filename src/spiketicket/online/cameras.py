"""Cameras, through the libraries of their makers where these are installed.

camera:               the first camera that is found
camera:dv[:NAME]      iniVation's, through dv-processing: pip install dv-processing
camera:prophesee[:SERIAL]  Prophesee's, through the Python packages of OpenEB or Metavision SDK
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from spiketicket.errors import UserError
from spiketicket.events import EVENT, EventArray
from spiketicket.online.packets import Packet

_IDLE_S: Final = 0.001
_DELTA_US: Final = 1000


class Camera:
    """A camera that was opened: ``next_batch`` gives the events since, or None where none came."""

    paced = True
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        sensor: tuple[int, int],
        next_batch: Callable[[], EventArray | None],
        running: Callable[[], bool],
    ) -> None:
        self.name, self.sensor = name, sensor
        self._next, self._running = next_batch, running
        self._closed = threading.Event()

    def close(self) -> None:
        """Take no more."""
        self._closed.set()

    def __iter__(self) -> Iterator[Packet]:
        while not self._closed.is_set():
            data = self._next()
            if data is not None and len(data):
                yield Packet(data=data, at=time.perf_counter())
            elif not self._running():
                raise UserError("the camera is gone", where=self.name)
            elif data is None:
                time.sleep(_IDLE_S)


def open_camera(given: str) -> Camera:
    """The camera of a name as above.

    Raises:
        UserError: no such maker, no library, which one to install, or no camera.
    """
    maker, _, which = given.partition(":")[2].partition(":")
    if maker and maker not in _MAKERS:
        remedy = f"Makers are {', '.join(_MAKERS)}; camera: is the first camera that is found"
        raise UserError("no such maker of cameras", where=given, value=maker, remedy=remedy)
    missing = []
    for name in (maker,) if maker else tuple(_MAKERS):
        modules, install, opened = _MAKERS[name]
        try:
            library = importlib.import_module(modules)
        except ImportError:
            missing.append(install)
            continue
        try:
            return opened(library, which, given)
        except (RuntimeError, OSError, ValueError, IndexError) as error:
            if maker:
                why = str(error).strip().splitlines()[:1] or ["no reason given"]
                what = f"no camera could be opened: {why[0]}"
                raise UserError(what, where=given, remedy="Is it plugged in, and free?") from error
    if missing:
        what = "the library of the camera is not installed"
        raise UserError(what, where=given, remedy=f"Install {' or '.join(missing)}")
    raise UserError("no camera was found", where=given, remedy="Is it plugged in, and free?")


def _packed(t: Any, x: Any, y: Any, p: Any) -> EventArray:
    data = np.empty(len(t), EVENT)
    for name, values in (("t", t), ("x", x), ("y", y), ("p", p)):
        data[name] = values
    return data


def _open_dv(library: Any, which: str, given: str) -> Camera:
    opened = library.io.camera.open(which) if which else library.io.camera.open()
    width, height = opened.getEventResolution()

    def batch() -> EventArray | None:
        store = opened.getNextEventBatch()
        if store is None:
            return None
        places = np.asarray(store.coordinates())
        return _packed(
            np.asarray(store.timestamps()),
            places[:, 0],
            places[:, 1],
            np.asarray(store.polarities()),
        )

    return Camera(given, (int(width), int(height)), batch, opened.isRunning)


def _open_prophesee(library: Any, which: str, given: str) -> Camera:
    iterator = library.EventsIterator(input_path=which, delta_t=_DELTA_US)
    height, width = iterator.get_size()
    batches = iter(iterator)
    ended: list[bool] = []

    def batch() -> EventArray | None:
        events = next(batches, None)
        if events is None:
            ended.append(True)
            return None
        return _packed(events["t"], events["x"], events["y"], events["p"])

    return Camera(given, (int(width), int(height)), batch, lambda: not ended)


_Opener = Callable[[Any, str, str], Camera]
_MAKERS: Final[Mapping[str, tuple[str, str, _Opener]]] = {
    "dv": ("dv_processing", "dv-processing (pip install dv-processing)", _open_dv),
    "prophesee": (
        "metavision_core.event_io",
        "OpenEB or Metavision SDK with its Python packages (docs.prophesee.ai)",
        _open_prophesee,
    ),
}
