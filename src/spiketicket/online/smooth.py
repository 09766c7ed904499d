"""Answers that change less often: a majority of the last ones, and hysteresis. Off unless asked."""

from __future__ import annotations

from collections import Counter, deque


class Smoothed:
    """The class that is told in place of the best one of each window.

    Args:
        majority: the most frequent of so many last classes, the later one of two that are equally
            frequent; 1 is the class itself.
        hysteresis: another class is told only after it was found so many times in a row; 1 is at
            once. It is applied to what the majority gives.
    """

    def __init__(self, majority: int = 1, hysteresis: int = 1) -> None:
        self._last: deque[int] = deque(maxlen=majority)
        self._needed = hysteresis
        self.restart()

    def restart(self) -> None:
        """Forget what was."""
        self._last.clear()
        self._told: int | None = None
        self._other, self._times = -1, 0

    def __call__(self, best: int) -> int:
        """The class to tell after one more window."""
        self._last.append(best)
        counts = Counter(self._last)
        most = max(counts.values())
        found = next(each for each in reversed(self._last) if counts[each] == most)
        self._times = self._times + 1 if found == self._other else 1
        self._other = found
        if self._told is None or self._times >= self._needed:
            self._told = found
        return self._told
