"""Windows that wait for their answer: a bounded queue in which the newest wins."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """A queue between two threads.

    Args:
        most: how many may wait.
        lossy: whether the oldest goes where there is no room; else whoever puts waits.
    """

    def __init__(self, most: int, *, lossy: bool) -> None:
        self._most, self._lossy = most, lossy
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self.dropped = 0
        """How many have gone without being taken."""

    def put(self, item: T) -> bool:
        """Add one; False once nobody takes any more."""
        with self._changed:
            while not self._lossy and len(self._waiting) >= self._most and not self._ended:
                self._changed.wait()
            if self._ended:
                return False
            if len(self._waiting) >= self._most:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """No more come, or are taken; ``error`` is why, where it is no good end."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> T | None:
        """The oldest that waits; None at the end, or after ``timeout`` seconds (see ``ended``)."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, timeout)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._changed.notify_all()
            return item

    @property
    def ended(self) -> bool:
        """Whether no more come and none waits."""
        with self._changed:
            return self._ended and not self._waiting

    @property
    def error(self) -> BaseException | None:
        """Why it ended, where that was no good end."""
        return self._error
