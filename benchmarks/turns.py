"""Paired timing: every contender in a process of its own, one step each in turn.

While one steps the others sleep, so a drifting clock speed meets all of them, and a ratio is the
median of the ratios within a round. Peak memory is the process's own.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

Make = Callable[[dict[str, Any]], Callable[[], None]]


def take_turns(
    make: Make, cases: list[dict[str, Any]], rounds: int, threads: int
) -> list[dict[str, Any]]:
    """Seconds per step of every case, or its error; ``make`` builds one in its process."""
    context = multiprocessing.get_context("spawn")
    workers = []
    for case in cases:
        here, there = context.Pipe()
        process = context.Process(target=_worker, args=(there, make, case, threads), daemon=True)
        process.start()
        workers.append((here, process, here.recv()))  # waits for the warm-up
    seconds: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for (pipe, _, ready), times in zip(workers, seconds, strict=True):
            if "error" not in ready:
                pipe.send("step")
                times.append(pipe.recv())
    results = []
    for (pipe, process, ready), times in zip(workers, seconds, strict=True):
        if "error" not in ready:
            pipe.send("stop")
            ready = {**ready, **pipe.recv(), "seconds": times}
        results.append(ready)
        process.join()
    return results


def _worker(pipe: Connection, make: Make, case: dict[str, Any], threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    try:
        step = make(case)
        started = time.perf_counter()
        step()
        first = time.perf_counter() - started
        step()
    except Exception as error:
        pipe.send({"error": f"{type(error).__name__}: {str(error)[:200]}"})
        return
    pipe.send({"first_step_s": first})
    while pipe.recv() == "step":
        started = time.perf_counter()
        step()
        pipe.send(time.perf_counter() - started)
    from spiketicket.experiment.provenance import machine

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send({"peak_mib": peak, "machine": machine(torch.device("cpu"))})
