"""Workers on this machine: processes of their own, each with its share of the processor."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

from spiketicket.errors import UserError
from spiketicket.machine import cores, output
from spiketicket.machine.apart import apart
from spiketicket.sweep.executor import Ended
from spiketicket.sweep.worker import Order, Settings, execute

_PATIENCE_S = 5.0
"""How long a worker may take to end before it is killed."""


@dataclass
class _Worker:
    process: Any
    pipe: connection.Connection
    order: Order | None = None


class Local:
    """``workers`` processes, each with ``threads``; else at most an equal share of the processor.

    With ``device`` ``cuda`` worker k computes on device k modulo their number. A process does one
    task after another; one that dies is replaced, and the others go on.
    """

    def __init__(self, workers: int = 1, threads: int | None = None, device: str = "cpu") -> None:
        self.workers, self._device = workers, device
        self._told = threads
        self.threads = threads or max(1, cores.cores() // workers)
        self._running: dict[int, _Worker] = {}
        self._devices = ["cpu"]
        self._place = ("", "")

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return self._device

    def open(self, runs_dir: str, sweep: str) -> None:
        """See :meth:`spiketicket.sweep.executor.Executor.open`."""
        self._place = (runs_dir, sweep)
        if self._device == "cuda":
            import torch

            self._devices = [f"cuda:{k}" for k in range(torch.cuda.device_count())]
            if not self._devices:
                raise UserError("PyTorch sees no CUDA device", where="device", value="cuda")

    def slots(self) -> int:
        """The number of workers."""
        return self.workers

    def submit(self, order: Order) -> None:
        """Give an order to an idle worker, or to a new one."""
        idle = [w for w in self._running.values() if w.order is None]
        worker = idle[0] if idle else self._start()
        worker.order = order
        with contextlib.suppress(OSError):  # where it died meanwhile, wait() says so
            worker.pipe.send(order)

    def wait(self, timeout_s: float) -> list[Ended]:
        """Orders that ended; a worker that died has lost its own."""
        waited: list[Any] = [w.pipe for w in self._running.values()]
        waited += [w.process.sentinel for w in self._running.values()]
        ready = connection.wait(waited, timeout_s)
        ended = []
        for slot, worker in list(self._running.items()):
            order = worker.order
            if worker.pipe in ready and order is not None:
                try:
                    ended.append(Ended(order, worker.pipe.recv()))
                    worker.order = None
                    continue
                except (EOFError, OSError):
                    worker.process.join(_PATIENCE_S)
            if not worker.process.is_alive():
                del self._running[slot]
                worker.pipe.close()
                if order is not None:
                    ended.append(Ended(order, None, _death(worker.process.exitcode)))
        return ended

    def close(self) -> None:
        """Stop the workers."""
        for worker in self._running.values():
            worker.process.terminate()
        for worker in self._running.values():
            worker.process.join(_PATIENCE_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._running.clear()

    def _start(self) -> _Worker:
        slot = next(k for k in range(self.workers) if k not in self._running)
        device = self._devices[slot % len(self._devices)]
        settings = Settings(
            runs_dir=self._place[0],
            sweep=self._place[1],
            device=device,
            threads=self._told,
            share=self.threads,
        )
        # A program that loaded PyTorch before us was left as it is; processes of ours wait asleep.
        cores.prepare(os.environ)
        # Spawned, not forked: a fork of a process with threads and CUDA may hang.
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=_serve, args=(there, settings), name=f"sweep-{slot}", daemon=True
        )
        with apart():
            process.start()
        there.close()
        self._running[slot] = _Worker(process, here)
        return self._running[slot]


def _serve(pipe: connection.Connection, settings: Settings) -> None:
    output.prepare()
    # Ctrl-C in a terminal reaches every process of it; the driver alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            return
        pipe.send(execute(order, settings))


def _end_with_the_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the worker was ended by signal {signal.Signals(-code).name}"
    return f"the worker ended with exit code {code}"
