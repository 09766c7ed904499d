"""Answers to windows: framed as the ticket says, computed from rest or step by step."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spiketicket.events import Events
from spiketicket.events.frames import PlainFraming, narrow, to_frames

if TYPE_CHECKING:
    from spiketicket.engine import Engine
    from spiketicket.online.window import Window

F32 = NDArray[np.float32]


class FromRest:
    """Each window for itself: what ``spiketicket eval`` computes of it, to the bit."""

    def __init__(self, engine: Engine, framing: PlainFraming, sensor: tuple[int, int]) -> None:
        self._engine, self._framing, self._sensor = engine, framing, sensor

    def __call__(self, window: Window) -> F32:
        """Logits [classes]."""
        events = Events(window.data, *self._sensor)
        frames = narrow(to_frames(events, self._framing, window.span_us))
        logits: F32 = self._engine.run(frames[None])[0]
        return logits


class CarriedOn:
    """A window is one time step more: membranes go on, and the answer is the mean of the logits of
    the last T steps, T the ticket's (fewer after a restart).

    Raises:
        UserError: a network whose answer needs all steps at once: see ``Engine.state``.
    """

    def __init__(self, engine: Engine, framing: PlainFraming, sensor: tuple[int, int]) -> None:
        self._engine, self._sensor = engine, sensor
        self._framing = replace(framing, steps=1)
        self._state = engine.state()
        self._recent: deque[F32] = deque(maxlen=framing.steps)

    def __call__(self, window: Window) -> F32:
        """Logits [classes]."""
        if window.restart:
            self._state.reset()
            self._recent.clear()
        self._state.restart_mean()
        events = Events(window.data, *self._sensor)
        frame = narrow(to_frames(events, self._framing, window.span_us))
        self._recent.append(self._engine.step(self._state, frame)[0])
        logits: F32 = np.mean(np.stack(self._recent), axis=0)
        return logits
