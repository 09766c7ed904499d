"""``spiketicket run``: classify files with a ticket. Needs no PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spiketicket.cli.declare import Argument, Exit, Option
from spiketicket.cli.guard import BAD_INPUT, SOME_FAILED
from spiketicket.cli.options import (
    JsonOption,
    MaxMemoryOption,
    RoiOption,
    ScaleOption,
    TicketArgument,
    TopicOption,
)
from spiketicket.errors import UserError
from spiketicket.machine.output import fail, note, say, say_json, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spiketicket.engine import Engine
    from spiketicket.engine.inputs import Reader, Sample


@dataclass(kw_only=True)
class _Outcome:
    """What happened to the inputs; ``timed`` are the first batch's values, for the plan."""

    top: int
    as_json: bool
    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    count: int = 0
    labelled: int = 0
    right: int = 0
    timed: NDArray[np.generic] | None = None
    margin: float | None = None
    """For answers that may come early."""
    steps: int = 0

    def accuracy(self) -> dict[str, dict[str, float]]:
        """Of the inputs in folders that are named like classes; empty where there are none."""
        if not self.labelled:
            return {}
        percent = 100 * self.right / self.labelled
        return {"accuracy": {"percent": percent, "right": self.right, "count": self.labelled}}

    def mean_steps(self) -> float | None:
        """Time steps that an answer took, where it may come early; None without an answer."""
        return self.steps / self.count if self.count else None

    def failed(self, error: UserError) -> None:
        fail(str(error))
        self.errors.append({"input": error.where, "error": shown(str(error))})


class Backend(StrEnum):
    """What computes."""

    auto = "auto"
    c = "c"
    numpy = "numpy"


class Level(StrEnum):
    """Features of x86-64 processors."""

    generic = "generic"
    avx2 = "avx2"
    avx512 = "avx512"


class Unit(StrEnum):
    """Of times in files."""

    s = "s"
    ms = "ms"
    us = "us"
    ns = "ns"


def run(
    ticket: TicketArgument,
    inputs: Annotated[
        list[Path],
        Argument(
            metavar="INPUT...",
            help="Pictures, or recordings of an event camera, or folders of them; - is a"
            " picture from standard input.",
        ),
    ],
    *,
    top: Annotated[int, Option("--top", min=1, help="Classes to show, best first.")] = 1,
    resize: Annotated[
        bool, Option("--resize", help="Cut and scale pictures to the ticket's size.")
    ] = False,
    time_unit: Annotated[
        Unit | None,
        Option("--time-unit", help="Unit of times in .npz and .npy files. Default: the recipe's."),
    ] = None,
    split: Annotated[
        bool,
        Option("--split-at-reset", help="Cut recordings whose clock was reset into several."),
    ] = False,
    roi: RoiOption = None,
    scale: ScaleOption = None,
    topic: TopicOption = None,
    threads: Annotated[int, Option("--threads", min=1, help="CPU threads.")] = 1,
    latency: Annotated[
        bool, Option("--latency", help="All threads work on one input, not on one each.")
    ] = False,
    tune: Annotated[
        bool, Option("--tune", help="Time the kernels of each layer, keep the fastest.")
    ] = False,
    backend: Annotated[
        Backend, Option("--backend", help="c, numpy, or c where it was built: auto.")
    ] = Backend.auto,
    level: Annotated[
        Level | None,
        Option("--level", help="Processor features to use. Default: all there are."),
    ] = None,
    early: Annotated[
        bool,
        Option(
            "--early-exit",
            help="Answer before the last time step where the ticket's margin is reached.",
        ),
    ] = False,
    margin: Annotated[
        float | None,
        Option("--margin", min=0, help="For that, in place of the ticket's own."),
    ] = None,
    max_memory: MaxMemoryOption = "",
    plan: Annotated[
        bool, Option("--plan", help="Show how each layer is computed, and its time.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Classify pictures or recordings with a ticket, without PyTorch.

    Of files in folders that are named like classes the accuracy is printed. A file that cannot be
    read is named, the others go on. Ends with 1 where some inputs failed, with 2 where all did.
    """
    from spiketicket.engine.inputs import reader_for
    from spiketicket.events.fit import parse_fit

    with warnings.catch_warnings(record=True, action="always") as told:
        engine = _engine(ticket, threads, level, backend, latency=latency, tune=tune)
    for warning in told:
        note(str(warning.message))
    reader = reader_for(
        engine,
        resize=resize,
        time_unit=time_unit.value if time_unit else None,
        split=split,
        topic=topic,
        fit=parse_fit(roi, scale),
    )
    outcome = _Outcome(top=min(top, len(engine.classes)), as_json=as_json)
    if early or margin is not None:
        outcome.margin = engine.early_margin(margin)
    for batch in _batches(inputs, reader, engine, outcome):
        _classify(engine, batch, outcome)
    steps = engine.plan(outcome.timed) if plan else None
    if as_json:
        report: dict[str, Any] = {"ticket": str(ticket), "backend": engine.backend}
        if outcome.margin is not None:
            report |= {"margin": outcome.margin, "mean_steps": outcome.mean_steps()}
        report |= {"results": outcome.results, "errors": outcome.errors, **outcome.accuracy()}
        say_json(report if steps is None else {**report, "plan": steps})
    else:
        for found in outcome.accuracy().values():
            of_all = f"{found['right']:,} of {found['count']:,} are of the class of their folder"
            say(f"accuracy: {found['percent']:.2f} %: {of_all}")
        if outcome.margin is not None and outcome.count:
            say(f"steps: {outcome.mean_steps():.2f} of {engine.program.steps} on average")
        if steps is not None:
            _print_plan(steps)
    if outcome.errors:
        raise Exit(SOME_FAILED if outcome.count else BAD_INPUT)


def _engine(
    ticket: Path, threads: int, level: Level | None, backend: Backend, *, latency: bool, tune: bool
) -> Engine:
    from spiketicket.engine import Engine

    return Engine(
        ticket,
        threads=threads,
        level=level.value if level else None,
        backend=backend.value,
        mode="latency" if latency else "throughput",
        tune=tune,
    )


def _batches(
    inputs: Sequence[Path], reader: Reader, engine: Engine, outcome: _Outcome
) -> Iterator[list[Sample]]:
    """Samples, as many at once as take little memory."""
    from spiketicket.engine.classified import batch_size
    from spiketicket.engine.inputs import expand

    most = batch_size(engine)
    batch: list[Sample] = []
    for found in expand(inputs, reader.suffixes):
        try:
            if isinstance(found, UserError):
                raise found
            for number, sample in enumerate(reader.read(found)):
                for remark in () if number else sample.notes:
                    note(f"{found}: {remark}")
                label = "" if found in inputs else found.parent.name
                batch.append(replace(sample, label=label if label in engine.classes else ""))
                if len(batch) == most:
                    yield batch
                    batch = []
        except UserError as error:
            outcome.failed(error)
        except OSError as error:
            outcome.failed(UserError(error.strerror or str(error), where=str(found)))
    if batch:
        yield batch


def _classify(engine: Engine, batch: list[Sample], outcome: _Outcome) -> None:
    from spiketicket.engine.classified import classified, stacked

    if outcome.timed is None:
        outcome.timed = stacked(engine, batch)
    outcome.count += len(batch)
    answers = classified(engine, batch, outcome.top, outcome.margin)
    outcome.steps += sum(found.steps or 0 for found in answers)
    for sample, found in zip(batch, answers, strict=True):
        if sample.label:
            outcome.labelled += 1
            outcome.right += found.name == sample.label
        if outcome.as_json:
            label = {"label": sample.label} if sample.label else {}
            outcome.results.append({**found.to_dict(), **label})
        else:
            say(f"{found.input}: {found}")


def _print_plan(steps: Sequence[dict[str, Any]]) -> None:
    from spiketicket.cli.console import print_table

    rows = [
        [
            step["name"] or "-",
            step["op"].lower(),
            step["kernel"],
            "x".join(map(str, step["shape"])),
            "-" if step["density"] is None else f"{step['density']:.3f}",
            "-" if step["us"] is None else f"{step['us']:,.1f}",
        ]
        for step in steps
    ]
    times = [step["us"] for step in steps if step["us"] is not None]
    rows.append(["all", "", "", "", "", f"{sum(times):,.1f}" if times else "-"])
    print_table(("layer", "step", "kernel", "output", "density", "us per sample"), rows, left=3)
