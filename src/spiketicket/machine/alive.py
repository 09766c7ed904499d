"""A line now and then from a command that has said nothing for long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spiketicket.machine import output
from spiketicket.machine.durations import duration

EVERY_S = 25.0
"""Nobody waits longer than half a minute for a line, a busy processor included."""

Describe = Callable[[], str]
_described: list[Describe | None] = []


class Pulse:
    """Says what goes on whenever nothing was said for ``EVERY_S`` seconds.

    ``describe`` gives the line where no :func:`described_by` is in force; times are in seconds.
    """

    def __init__(
        self,
        describe: Describe,
        clock: Callable[[], float] = time.monotonic,
        said_at: Callable[[], float] = output.said_at,
        tell: Callable[[str], None] = output.tell,
    ) -> None:
        self._describe, self._clock, self._said_at, self._tell = describe, clock, said_at, tell
        self._before = clock()

    def beat(self) -> float:
        """Say it if it is due; the seconds until it may be."""
        rest = max(self._before, self._said_at()) + EVERY_S - self._clock()
        if rest > 0:
            return rest
        self._before = self._clock()
        describe = _described[-1] if _described else self._describe
        if describe is not None:
            self._tell(describe())
        return EVERY_S


@contextmanager
def alive(
    command: str, *, silent: bool, tell: Callable[[str], None] = output.tell
) -> Iterator[None]:
    """Say now and then that a command is at work; of several processes, the first one does."""
    if silent or os.environ.get("RANK", "0") != "0":
        yield
        return
    began, over = time.monotonic(), threading.Event()

    def describe() -> str:
        return f"{command}: at work, {duration(time.monotonic() - began)} so far"

    pulse = Pulse(describe, tell=tell)

    def run() -> None:
        wait = EVERY_S
        while not over.wait(wait):
            wait = pulse.beat()

    thread = threading.Thread(target=run, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)


@contextmanager
def described_by(describe: Describe | None) -> Iterator[None]:
    """While this is in force the line is ``describe()``, and there is none where it is None."""
    _described.append(describe)
    try:
        yield
    finally:
        _described.remove(describe)
