"""Recordings with a known rhythm, and a ticket that answers them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_events import TICKET

from spiketicket import Engine
from spiketicket.events import EventArray


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The ticket's."""
    return Engine(TICKET)


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., Path]:
    """Writes events to a file."""

    def write(data: EventArray, name: str = "recording.npy") -> Path:
        path = tmp_path / name
        np.save(path, data)
        return path

    return write


@pytest.fixture
def frames_of() -> Callable[..., Any]:
    """Frames of a window, counted one event after the other: [T, 2, 32, 32]."""

    def count(data: EventArray, start: int, stop: int, steps: int = 4) -> Any:
        frames = np.zeros((steps, 2, 32, 32), np.uint8)
        for t, x, y, p in data:
            if start <= t < stop:
                step = (int(t) - start) * steps // (stop - start)
                frames[step, p, int(y) * 32 // 34, int(x) * 32 // 34] += 1
        return frames

    return count
