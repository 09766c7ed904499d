"""A peer's process: ``python -m spiketicket.bench.worker JOB``, spoken to in lines of JSON.

It pins itself to its cores before anything that starts threads is imported, prepares the peer, and
then does what it is told on standard input until that ends:

    check           logits of all images into ``logits.npy`` of its folder
    turn SECONDS    a warm-up, then timed calls for so long: their durations in seconds

What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spiketicket.bench.job import Array, Job, Prepared, Unavailable
from spiketicket.bench.peers import PEERS, preparer
from spiketicket.machine import cores as _cores

_WARM_UP = 0.25
"""Share of a turn's time that goes to calls before those that count."""


def main(path: str) -> None:
    """Serve one peer. Ends when standard input does."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = Job.load(Path(path))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cpus)
    started = time.perf_counter()
    try:
        prepared = preparer(PEERS[job.peer])(job)
        server = _Server(prepared, job)
        load_s = time.perf_counter() - started
        first_s = server.call()
        cores = list(_cores.allowed())
        ready: dict[str, Any] = {"load_s": load_s, "first_s": first_s, "cores": cores}
    except Unavailable as reason:
        _say(answers, {"unavailable": str(reason)})
        return
    _say(answers, {**ready, "settings": prepared.settings})
    for line in sys.stdin:
        order, *arguments = line.split()
        if order == "check":
            np.save(Path(job.folder) / "logits.npy", server.logits())
            _say(answers, {})
        else:
            _say(answers, {"seconds": server.turn(float(arguments[0]))})


class _Server:
    """The peer with its images, batch after batch and then from the start again."""

    def __init__(self, prepared: Prepared, job: Job) -> None:
        self._run = prepared.run
        images = job.images()
        self._batches = [
            np.ascontiguousarray(images[i : i + job.batch])
            for i in range(0, len(images) - job.batch + 1, job.batch)
        ]
        self._next = self._cycle()
        self._last = 0.0

    def _cycle(self) -> Iterator[Array]:
        while True:
            yield from self._batches

    def call(self) -> float:
        """Seconds of one call."""
        x = next(self._next)
        started = time.perf_counter()
        self._run(x)
        self._last = time.perf_counter() - started
        return self._last

    def logits(self) -> Array:
        """float32 [N, classes] of all images."""
        return np.concatenate([np.array(self._run(x), np.float32) for x in self._batches])

    def turn(self, seconds: float) -> list[float]:
        """Durations of the calls of one turn; one call is enough where it takes the whole turn."""
        if self._last < seconds:
            self._calls(_WARM_UP * seconds)
        return self._calls(seconds)

    def _calls(self, seconds: float) -> list[float]:
        found = [self.call()]
        while sum(found) < seconds:
            found.append(self.call())
        return found


def _say(answers: Any, what: dict[str, Any]) -> None:
    answers.write(f"{json.dumps(what)}\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
