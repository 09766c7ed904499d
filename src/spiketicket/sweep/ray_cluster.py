"""Workers on the nodes of a Ray cluster, which all see the folder of the runs at the same path.

The driver is the only scheduler: Ray places a task and says when its worker or node is gone, and
never starts one again by itself. Nodes that join later are used as soon as Ray knows them.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Any

from spiketicket.errors import UserError, argument
from spiketicket.sweep.executor import Ended
from spiketicket.sweep.worker import Order, Settings, execute

_KNOCK_S = 20.0


class RayCluster:
    """A task of Ray core for every task of the sweep, with so many CPUs and GPUs each."""

    def __init__(self, address: str = "", cpus_per_run: int = 1, gpus_per_run: float = 0) -> None:
        self.address = address or os.environ.get("RAY_ADDRESS", "auto")
        self.cpus, self.gpus = cpus_per_run, gpus_per_run
        self._ray: Any = None
        self._task: Any = None
        self._settings = Settings(runs_dir="", sweep="")
        self._running: dict[Any, Order] = {}

    @property
    def device(self) -> str:
        """``cuda`` where runs have GPUs; Ray shows each only its own."""
        return "cuda" if self.gpus else "cpu"

    def open(self, runs_dir: str, sweep: str) -> None:
        """Connect to the cluster.

        Raises:
            UserError: Ray is not installed, or there is no cluster at the address.
        """
        # Ray would tell its makers about the cluster.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            remedy = "pip install 'spiketicket[cluster]', on every node"
            raise UserError(
                "Ray is not installed", where=argument("executor"), remedy=remedy
            ) from error
        try:
            self._knock()
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            what = f"there is no Ray cluster: {_first(error)}"
            remedy = f"Start one with `ray start --head`, or take the local {argument('executor')}"
            raise UserError(
                what, where=argument("address"), value=self.address, remedy=remedy
            ) from error
        self._ray = ray
        self._settings = Settings(
            runs_dir=runs_dir, sweep=sweep, device=self.device, threads=self.cpus
        )
        # max_retries: the sweep starts a lost task again itself, under a new token.
        self._task = ray.remote(execute).options(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0
        )

    def _knock(self) -> None:
        """Where nobody listens, Ray itself would try again for many minutes."""
        if self.address != "auto":
            host, _, port = self.address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()

    def slots(self) -> int:
        """How many runs fit on the nodes that are alive now."""
        found = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                here = node["Resources"]
                fits = here.get("CPU", 0) // self.cpus
                found += int(min(fits, here.get("GPU", 0) // self.gpus) if self.gpus else fits)
        return found

    def submit(self, order: Order) -> None:
        """Hand an order to the cluster."""
        self._running[self._task.remote(order, self._settings)] = order

    def wait(self, timeout_s: float) -> list[Ended]:
        """Orders that ended, with the reason where their worker or node was lost."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        ended = []
        for reference in ready:
            order = self._running.pop(reference)
            try:
                ended.append(Ended(order, self._ray.get(reference)))
            except self._ray.exceptions.RayTaskError as error:
                # execute() lets nothing out: the node could not even call it.
                cause = str(error.cause or error).splitlines()[-1]
                raise UserError(
                    f"a node cannot run spiketicket: {cause}",
                    where=argument("executor"),
                    remedy="Install the same version on every node",
                ) from error
            except self._ray.exceptions.RayError as error:
                ended.append(Ended(order, None, f"{type(error).__name__}: {_first(error)}"))
        return ended

    def close(self) -> None:
        """Cancel what is running and leave the cluster."""
        if self._ray is not None:
            for reference in self._running:
                self._ray.cancel(reference, force=True)
            self._running.clear()
            self._ray.shutdown()
            self._ray = None


def _first(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")
