"""Answers before the last time step: a margin chosen on the validation split, and what it saves.

A net with T steps has an answer after every one of them. It stops at the first at which the best
class leads the next one by a margin, in the sums of the logits over the steps: the thresholds of
SEENN-I (Li et al., NeurIPS 2023, arXiv 2304.01230), with the gap of the two best classes (Wu et
al., arXiv 2301.09522) in place of the share of the best.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.data import make_config
from spiketicket.data.of_ticket import TicketData, find_test_data
from spiketicket.data.split import training_split
from spiketicket.data.types import Samples
from spiketicket.engine import Engine
from spiketicket.engine.steps import margins
from spiketicket.errors import UserError, argument
from spiketicket.experiment.measure_net import image_count, measure_net, network_of
from spiketicket.machine.typed import typed
from spiketicket.measure import energy
from spiketicket.ticket import Ticket, TicketError
from spiketicket.ticket.zoo import ticket_path

JUST_BELOW = 1 - 2.0**-12
"""A margin is just below one that was seen: who computes on whole numbers rounds it alike."""
_MOST_MARGINS = 2000
_BATCH = 64
_TIMED = 100
F32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class EarlyRow:
    """A rule for when to answer, with what it gives on the test split."""

    rule: str
    """``all steps``, ``always t``, or ``margin``."""
    margin: float | None
    changed: float | None
    """Percent of the validation samples that may get another answer than after all steps."""
    validation_accuracy: float
    validation_steps: float
    test_accuracy: float
    test_steps: float
    test_changed: float
    """Percent of the test samples that get another answer than after all steps."""
    share: tuple[float, ...]
    """Of the test samples that end after each step."""
    energy_pj: float
    """Of the layers and the membranes, a sample; see ``spiketicket.measure.energy``."""
    ms: float
    """Of one sample alone, on one thread of the engine."""


@dataclass(frozen=True, kw_only=True)
class EarlyExit:
    """What was chosen, and all that it was chosen among; ``rows`` begins with all steps."""

    ticket: Path
    digest: str
    dataset: str
    steps: int
    validation_count: int
    test_count: int
    images: int
    """Test samples of which the energy was counted."""
    table: str
    rows: tuple[EarlyRow, ...]

    @property
    def chosen(self) -> EarlyRow:
        """The row of the first of the shares that were asked for."""
        return next(row for row in self.rows if row.rule == "margin")

    def stated(self) -> dict[str, float | int]:
        """The ticket's own table ``early_exit``."""
        row = self.chosen
        return {
            "margin": float(row.margin or 0),
            "changed": float(row.changed or 0),
            "mean_steps": row.validation_steps,
            "validation_accuracy": row.validation_accuracy,
            "validation_count": self.validation_count,
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        rows = [{**asdict(row), "share": list(row.share)} for row in self.rows]
        return {**asdict(self), "ticket": str(self.ticket), "rows": rows}


@typed
def choose_margin(
    path: Path | str,
    *,
    changed: Sequence[float] = (0.0, 1.0, 2.0),
    images: int | str | None = None,
    table: str = energy.DEFAULT,
    root: str = "",
) -> EarlyExit:
    """The margin with the fewest steps on the validation split that leaves its answers as they are.

    Of them ``changed`` percent may be other than after all steps: that much accuracy can be lost at
    most, and no error hides behind another that is mended. The test split is only reported. The
    margin of the first of ``changed`` is the one to keep: :func:`with_margin`.

    Args:
        path: the ticket's file, or its name in the zoo.
        changed: percent of the validation samples; a row for each.
        images: test samples whose energy is counted: a number, "all", or None, the first 256.
        table: of energies.
        root: folder with the data.

    Raises:
        TicketError: the file is no sound ticket, or does not say what it was trained on.
        UserError: one time step only; a net whose answer needs all steps at once; the data is not
            there, or not that of the ticket; a percentage that is none.
    """
    path = ticket_path(path)
    priced, ticket = energy.find_table(table), Ticket.load(path)
    if not changed or not all(0 <= share <= 100 for share in changed):
        what = "must be percentages from 0 to 100"
        raise UserError(what, where=argument("changed"), value=list(changed))
    engine = Engine(path)
    steps = engine.program.steps
    if steps < 2:
        remedy = "A net answers early where it has several time steps"
        raise UserError("has one time step", where=str(path), value=steps, remedy=remedy)
    engine.state()  # refuses nets that cannot
    data = find_test_data(ticket, path, root=root)
    validation, test = _validation(ticket, path, data), data.dataset.test
    seen = {"validation": _seen(engine, validation), "test": _seen(engine, test)}
    model = _Model(
        ticket=ticket,
        path=path,
        data=data,
        images=image_count(images, data.dataset),
        table=priced,
        engine=engine,
    )
    rules = [_Rule("all steps", fixed=steps), *_margins(seen["validation"], changed)]
    rules += [_Rule(f"always {t}", fixed=t) for t in range(1, steps)]
    return EarlyExit(
        ticket=path,
        digest=ticket.digest(),
        dataset=data.dataset.name,
        steps=steps,
        validation_count=len(validation),
        test_count=len(test),
        images=model.images,
        table=priced.name,
        rows=tuple(model.row(rule, seen["validation"], seen["test"]) for rule in rules),
    )


def with_margin(ticket: Ticket, stated: Mapping[str, float | int]) -> Ticket:
    """The ticket with ``EarlyExit.stated()`` in its metadata; another digest than before."""
    return replace(ticket, metadata={**ticket.metadata, "early_exit": dict(stated)})


def first_steps(ticket: Ticket, steps: int) -> Ticket:
    """The ticket of the same net that runs its first ``steps`` time steps only.

    Raises:
        TicketError: it does not say how many it has.
    """
    network = dict(ticket.metadata.get("network") or {})
    if isinstance(network.get("graph"), dict):
        graph = network["graph"] = {**network["graph"], "steps": steps}
        graph["frames"] = steps if graph.get("frames", 1) > 1 else 1
    args = network.get("args")
    if isinstance(args, dict) and isinstance(args.get("model"), dict):
        shape = dict(args.get("shape") or {})
        shape["frames"] = steps if shape.get("frames", 1) > 1 else 1
        model = {**args["model"], "timesteps": steps}
        network["args"] = {**args, "model": model, "shape": shape}
    elif "graph" not in network:
        raise TicketError("does not say how many time steps it has", where="network")
    return replace(ticket, metadata={**ticket.metadata, "network": network})


@dataclass(frozen=True)
class _Rule:
    """Always ``fixed`` steps, or as few as a margin lets."""

    name: str
    fixed: int = 0
    margin: float | None = None
    changed: float | None = None

    def ends(self, seen: _Seen) -> NDArray[np.int64]:
        """The step after which each sample ends, from 1 on."""
        if self.fixed:
            return np.full(len(seen.truth), self.fixed)
        reached = seen.margins >= np.float32(self.margin or 0)
        reached[-1] = True
        ends: NDArray[np.int64] = reached.argmax(axis=0) + 1
        return ends


@dataclass(frozen=True)
class _Seen:
    """After every step, ``[T, N]``: the lead of the best class, and its number."""

    margins: F32
    answers: NDArray[np.int64]
    truth: NDArray[np.int64]

    def judged(self, ends: NDArray[np.int64]) -> tuple[float, float, float]:
        """Percent right, mean steps, and percent of other answers than after all steps."""
        answers = self.answers[ends - 1, np.arange(len(ends))]
        right, other = answers == self.truth, answers != self.answers[-1]
        return 100 * float(right.mean()), float(ends.mean()), 100 * float(other.mean())


def _validation(ticket: Ticket, path: Path, data: TicketData) -> Samples:
    """The samples that the run held out, which its search and training have not seen."""
    seed, given = ticket.metadata.get("seed"), ticket.metadata["data"]["config"]
    if not isinstance(seed, int):
        what = "does not say by which seed its validation split was drawn"
        raise TicketError(what, where=str(path), value=seed)
    config = make_config(**{k: v for k, v in given.items() if k != "root"})
    return training_split(data.dataset, config, seed)[1]


def _seen(engine: Engine, samples: Samples) -> _Seen:
    parts: list[list[F32]] = []
    for start in range(0, len(samples), _BATCH):
        x = samples.x[start : start + _BATCH]
        state, logits = engine.state(len(x)), list[F32]()
        for t in range(engine.program.steps):
            frame = x[:, t] if engine.program.frames > 1 else None if t else x
            logits.append(engine.step(state, frame))
        parts.append(logits)
    every = [np.concatenate(step) for step in zip(*parts, strict=True)]
    return _Seen(
        np.stack([margins(logits, t) for t, logits in enumerate(every, 1)]),
        np.stack([logits.argmax(axis=1) for logits in every]),
        samples.y,
    )


def _margins(seen: _Seen, changed: Sequence[float]) -> list[_Rule]:
    """For each share of changed answers the margin with the fewest steps; of equals the largest."""
    found = np.unique(seen.margins[:-1])
    if len(found) > _MOST_MARGINS:
        found = np.quantile(found, np.linspace(0, 1, _MOST_MARGINS), method="lower")
    never = float(found[-1]) * (1 + 2.0**-12) + 1
    tried = []
    for margin in (never, *(float(m) * JUST_BELOW for m in found[::-1])):
        _, steps, other = seen.judged(_Rule("", margin=margin).ends(seen))
        tried.append((float(np.float32(margin)), steps, other))
    rules = []
    for share in changed:
        good = [each for each in tried if each[2] <= share + 1e-9]
        best = min(good, key=lambda each: each[1])
        rules.append(_Rule("margin", margin=best[0], changed=float(share)))
    return rules


@dataclass(kw_only=True)
class _Model:
    """What rules cost on the test split."""

    ticket: Ticket
    path: Path
    data: TicketData
    images: int
    table: energy.Table
    engine: Engine

    def row(self, rule: _Rule, validation: _Seen, test: _Seen) -> EarlyRow:
        ends = rule.ends(test)
        accuracy, steps, _ = validation.judged(rule.ends(validation))
        test_accuracy, test_steps, test_changed = test.judged(ends)
        counts = np.bincount(ends, minlength=self.engine.program.steps + 1)[1:]
        return EarlyRow(
            rule=rule.name,
            margin=rule.margin,
            changed=rule.changed,
            validation_accuracy=accuracy,
            validation_steps=steps,
            test_accuracy=test_accuracy,
            test_steps=test_steps,
            test_changed=test_changed,
            share=tuple((counts / len(ends)).tolist()),
            energy_pj=self._energy(ends[: self.images], early=not rule.fixed),
            ms=self._ms(rule),
        )

    def _energy(self, ends: NDArray[np.int64], *, early: bool) -> float:
        """Of the net that runs as many steps as each sample took, a sample."""
        spent = 0.0
        for t in np.unique(ends):
            chosen, ticket = np.flatnonzero(ends == t), first_steps(self.ticket, int(t))
            samples = self.data.dataset.test.take(chosen)
            if samples.x.ndim == 5:
                samples = Samples(samples.x[:, :t].copy(), samples.y)
            measured = measure_net(
                ticket,
                network_of(ticket, self.path),
                self.data,
                images=len(chosen),
                path=self.path,
                device="cpu",
                samples=samples,
            )
            if early:  # the last layer answers after each step, at most at the last one's cost
                for layer in measured["layers"]:
                    if layer["group"] in ("classifier", "head"):
                        for key in ("macs", "acs", "ac_units", "dense"):
                            layer[key] *= int(t)
            spent += len(chosen) * energy.price(measured, self.table)["with_updates_pj"]
        return spent / len(ends)

    def _ms(self, rule: _Rule) -> float:
        """Milliseconds a sample, each alone: the mean over the first, of three rounds the best."""
        x = self.data.dataset.test.x[:_TIMED]
        engine, best = self.engine, np.full(len(x), np.inf)
        if rule.fixed and rule.fixed < engine.program.steps:
            engine = Engine(first_steps(self.ticket, rule.fixed))
            if x.ndim == 5:
                x = x[:, : rule.fixed] if rule.fixed > 1 else x[:, 0]
        for _ in range(3):
            for i in range(len(x)):
                started = time.perf_counter()
                if rule.fixed:
                    engine.run(x[i : i + 1])
                else:
                    engine.run_early(x[i : i + 1], rule.margin)
                best[i] = min(best[i], time.perf_counter() - started)
        return 1000 * float(best.mean())
