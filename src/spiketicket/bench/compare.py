"""The comparison: start the peers, check what they compute, let them take turns, and tell."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from spiketicket.bench.agreement import Agreement, compared
from spiketicket.bench.job import Array, Job
from spiketicket.bench.peers import Peer, chosen, missing
from spiketicket.bench.process import NotReadyError, PeerError, PeerProcess
from spiketicket.bench.samples import Checked, load_samples
from spiketicket.errors import UserError, argument
from spiketicket.machine import cores as _cores
from spiketicket.machine import processor
from spiketicket.ticket import Ticket, describe
from spiketicket.ticket.zoo import ticket_path

FORMAT = 1
BASES = ("onnxruntime-int8", "torch-fp32")
"""Peers that ratios are to."""
_PACKAGES = (
    "spiketicket",
    "numpy",
    "torch",
    "spikingjelly",
    "onnx",
    "onnxruntime",
    "openvino",
)

Say = Callable[[str], None]
Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to compare.

    Args:
        batches: images a call.
        threads: threads that a peer may use; it is pinned to as many cores.
        peers: names, or none for all.
        rounds: turns of every peer.
        turn_s: seconds a turn takes at least.
        images: test images that logits are compared on; raised to the largest batch, and at most
            all that there are.
    """

    batches: tuple[int, ...] = (1, 32)
    threads: tuple[int, ...] = (1,)
    peers: tuple[str, ...] = ()
    rounds: int = 7
    turn_s: float = 0.3
    images: int = 64

    def __post_init__(self) -> None:
        given = {
            argument("batches"): self.batches,
            argument("threads"): self.threads,
            argument("rounds"): (self.rounds,),
            argument("images"): (self.images,),
        }
        for where, values in given.items():
            if not values or min(values) < 1:
                raise UserError("must be at least 1", where=where, value=values)
        available = len(usable_cores())
        if max(self.threads) > available:
            raise UserError(
                f"this process may use {available} cores",
                where=argument("threads"),
                value=max(self.threads),
            )
        chosen(self.peers)


@dataclass(kw_only=True)
class _Entry:
    """One peer at one batch size and number of threads."""

    peer: Peer
    status: str = "measured"
    reason: str = ""
    started: dict[str, Any] = field(default_factory=dict)
    agreement: Agreement | None = None
    rounds: list[list[float]] = field(default_factory=list)
    """Seconds of the calls of every round."""


def compare(path: Path | str, plan: Plan, *, root: str = "", say: Say = lambda _: None) -> Result:
    """Compare the peers on a ticket; times are milliseconds per image.

    Args:
        path: the ticket file, or its name in the zoo.
        plan: what to compare.
        root: folder with the data the ticket was made for.
        say: is told what is going on, a line each.

    Raises:
        TicketError: the file is no sound ticket, or not of a network of this package.
        UserError: the data is missing, or is not the data the ticket was made for.
    """
    started, path = time.perf_counter(), ticket_path(path).absolute()
    ticket = Ticket.load(path)
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    most = max(plan.images, *plan.batches)
    checked = load_samples(ticket, path, count=most, root=root)
    if len(checked.images) < most:
        say(f"all {len(checked.images)} test images, which are fewer than {most}")
    groups = []
    for batch in plan.batches:
        for threads in plan.threads:
            say(f"batch {batch}, {threads} thread{'s' * (threads > 1)}")
            with tempfile.TemporaryDirectory() as folder:
                group = _Group(
                    path,
                    plan=plan,
                    batch=batch,
                    threads=threads,
                    checked=checked,
                    folder=Path(folder),
                    say=say,
                )
                groups.append(group.measured())
    return {
        "format": FORMAT,
        "ticket": _about(ticket, path),
        "plan": asdict(plan),
        "machine": {**machine(), "load": [round(part, 2) for part in load]},
        "groups": groups,
        "wall_s": round(time.perf_counter() - started, 1),
    }


class _Group:
    """All peers at one batch size and number of threads."""

    def __init__(
        self,
        path: Path,
        *,
        plan: Plan,
        batch: int,
        threads: int,
        checked: Checked,
        folder: Path,
        say: Say,
    ) -> None:
        self._path, self._plan, self._folder, self._say = path, plan, folder, say
        self._batch, self._threads = batch, threads
        images, logits = _filled(checked.images, batch), _filled(checked.logits, batch)
        whole = len(images) // batch * batch
        self._expected: Array = logits[:whole]
        np.save(folder / "images.npy", images[:whole])
        np.save(folder / "calibration.npy", _filled(checked.calibration, batch))

    def measured(self) -> Result:
        """Start, check and time them all."""
        entries = [_Entry(peer=peer) for peer in chosen(self._plan.peers)]
        with contextlib.ExitStack() as stack:
            ready = [
                (entry, process)
                for entry in entries
                if (process := self._start(entry, stack)) is not None
            ]
            for turn in range(self._plan.rounds if ready else 0):
                # Another one goes first in every round.
                for entry, process in (*ready[turn % len(ready) :], *ready[: turn % len(ready)]):
                    self._turn(entry, process)
        return {
            "batch": self._batch,
            "threads": self._threads,
            "rows": [self._row(entry, entries) for entry in entries],
        }

    def _start(self, entry: _Entry, stack: contextlib.ExitStack) -> PeerProcess | None:
        """The peer's process, once it has shown that it computes the same; or None."""
        peer = entry.peer
        if reason := missing(peer):
            self._refuse(entry, "missing", reason)
            return None
        try:
            process = stack.enter_context(PeerProcess(self._job(peer), peer.limit_s))
            if "unavailable" in process.started:
                self._refuse(entry, "unavailable", process.started["unavailable"])
                return None
            entry.started = process.started
            entry.agreement = compared(process.logits(), self._expected)
        except PeerError as error:
            late = isinstance(error, NotReadyError)
            self._refuse(entry, "left out" if late else "failed", str(error))
            return None
        if not entry.agreement.passes(peer.arithmetic):
            if peer.arithmetic != "reduced":
                self._refuse(entry, "disagrees", "its logits are not those of the PyTorch model")
                process.close()
                return None
            entry.reason = "few bits change its logits much"
        self._say(f"  {peer.name}: ready")
        return process

    def _refuse(self, entry: _Entry, status: str, reason: str) -> None:
        entry.status, entry.reason = status, reason
        self._say(f"  {entry.peer.name}: {status}: {reason}")

    def _turn(self, entry: _Entry, process: PeerProcess) -> None:
        if entry.status != "measured":
            return
        try:
            entry.rounds.append(process.turn(self._plan.turn_s))
        except PeerError as error:
            self._refuse(entry, "failed", str(error))

    def _job(self, peer: Peer) -> Job:
        own = self._folder / peer.name
        own.mkdir()
        return Job(
            ticket=str(self._path),
            peer=peer.name,
            batch=self._batch,
            threads=self._threads,
            cpus=self._cores(),
            inputs=str(self._folder / "images.npy"),
            calibration=str(self._folder / "calibration.npy"),
            folder=str(own),
        )

    def _cores(self) -> tuple[int, ...]:
        return usable_cores()[: self._threads]

    def _row(self, entry: _Entry, entries: Sequence[_Entry]) -> Result:
        peer, agreement = entry.peer, entry.agreement
        row: Result = {
            "peer": peer.name,
            "title": peer.title,
            "arithmetic": peer.arithmetic,
            "status": entry.status,
            "reason": entry.reason,
            "settings": entry.started.get("settings", {}),
            "cores": entry.started.get("cores", []),
            "agreement": None if agreement is None else _rounded(asdict(agreement)),
        }
        if entry.status != "measured":
            return row
        calls = [1000 * s / self._batch for turn in entry.rounds for s in turn]
        quartiles = statistics.quantiles(calls, n=4) if len(calls) > 1 else [calls[0]] * 3
        return row | {
            "ms_per_image": _digits(statistics.median(calls)),
            "q25": _digits(quartiles[0]),
            "q75": _digits(quartiles[2]),
            "rounds_ms": [_digits(v) for v in self._medians(entry)],
            "calls": len(calls),
            "load_s": round(entry.started["load_s"], 3),
            "first_s": round(entry.started["first_s"], 4),
            "times_faster_than": {
                base: round(self._ratio(other, entry), 3)
                for base in BASES
                for other in entries
                if other.peer.name == base and other.status == "measured"
            },
        }

    def _medians(self, entry: _Entry) -> list[float]:
        return [1000 * statistics.median(turn) / self._batch for turn in entry.rounds]

    def _ratio(self, other: _Entry, entry: _Entry) -> float:
        """How many times as long the other takes, within rounds."""
        pairs = zip(self._medians(other), self._medians(entry), strict=True)
        return statistics.median(a / b for a, b in pairs)


def usable_cores() -> tuple[int, ...]:
    """The cores this process may keep busy."""
    return _cores.allowed()[: _cores.cores()]


def machine() -> Result:
    """The processor, the system and the versions that times depend on."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "cpu": processor.name(),
        "cores": len(usable_cores()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def failures(result: Result) -> list[str]:
    """What went wrong, a line each: peers that failed or compute something else."""
    return [
        f"{row['peer']}, batch {group['batch']}, threads {group['threads']}: {row['status']}: "
        f"{row['reason']}"
        for group in result["groups"]
        for row in group["rows"]
        if row["status"] in ("failed", "disagrees")
    ]


def _about(ticket: Ticket, path: Path) -> Result:
    summary, network = describe(ticket), ticket.metadata.get("network")
    return {
        "file": path.name,
        "digest": ticket.digest(),
        "network": network.get("name") if isinstance(network, dict) else None,
        "density": round(summary.density, 6),
        "file_bytes": path.stat().st_size,
        "dense_bytes": summary.dense_bytes,
    }


def _filled(images: Array, batch: int) -> Array:
    """The images again and again until there is a whole batch."""
    return np.resize(images, (batch, *images.shape[1:])) if len(images) < batch else images


def _digits(value: float) -> float:
    """Five significant digits."""
    return float(f"{value:.5g}")


def _rounded(table: Result) -> Result:
    return {
        key: round(value, 6)
        if isinstance(value, float) and np.isfinite(value)
        else (None if isinstance(value, float) else value)
        for key, value in table.items()
    }
