"""``spiketicket run``: classify files with a ticket. Needs no PyTorch."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from spiketicket.cli.alive import alive
from spiketicket.cli.guard import BAD_INPUT, EXPECTED, SOME_FAILED, said
from spiketicket.cli.wording import speak_of
from spiketicket.errors import UserError
from spiketicket.machine.bounded import DEFAULT_MEMORY, set_max_memory
from spiketicket.machine.output import fail, note, say, say_json, shown, tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spiketicket.cli.inputs import Reader, Sample
    from spiketicket.engine import Engine

_BATCH_VALUES = 1 << 22
_BATCH = 256


@dataclass(kw_only=True)
class _Outcome:
    """What happened to the inputs; ``timed`` are the first batch's values, for the plan."""

    top: int
    as_json: bool
    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    count: int = 0
    timed: NDArray[np.generic] | None = None

    def failed(self, error: UserError) -> None:
        fail(str(error))
        self.errors.append({"input": error.where, "error": shown(str(error))})


def main(arguments: Sequence[str]) -> int:
    """Classify the files named on the command line; the exit code.

    argparse reads them: typer alone would take longer to start than the classifier.
    """
    if {"-h", "--help"} & set(arguments):
        from spiketicket.cli.application import print_help_of_run

        print_help_of_run()
        return 0
    parser = _parser()
    speak_of({option for action in parser._actions for option in action.option_strings})
    options = parser.parse_args(arguments)
    try:
        with alive("run", silent=options.as_json):
            return _run(options)
    except EXPECTED as error:
        code = said(error)
        if code is None:
            raise
        return code


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as every other command does."""

    def error(self, message: str) -> NoReturn:
        """Usage and the mistake."""
        tell(f"Usage: {self.prog} [OPTIONS] TICKET INPUT...")
        fail(f"{message}. See {self.prog} --help")
        raise SystemExit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="spiketicket run",
        description="Classify pictures or recordings. A file that cannot be read is named, the "
        "others go on.",
        epilog="Ends with 1 where some inputs failed, with 2 where all did.",
        allow_abbrev=False,
        add_help=False,
    )
    add = parser.add_argument
    add("ticket", type=Path, metavar="TICKET", help="a .ticket file")
    add(
        "inputs",
        type=Path,
        nargs="+",
        metavar="INPUT",
        help="pictures, or recordings of an event camera, or folders of them",
    )
    add("--top", type=_count, default=1, metavar="N", help="classes to show, best first")
    add("--resize", action="store_true", help="cut and scale pictures to the ticket's size")
    add(
        "--time-unit",
        choices=("s", "ms", "us", "ns"),
        help="unit of times in .npz and .npy files; default: the recipe's",
    )
    add(
        "--split-at-reset",
        action="store_true",
        help="cut recordings whose clock was reset into several",
    )
    add("--threads", type=_count, default=1, metavar="N", help="CPU threads")
    add("--latency", action="store_true", help="all threads work on one input, not on one each")
    add("--tune", action="store_true", help="time the kernels of each layer, keep the fastest")
    add(
        "--backend",
        choices=("auto", "c", "numpy"),
        default="auto",
        help="c, numpy, or c where it was built",
    )
    add(
        "--level",
        choices=("generic", "avx2", "avx512"),
        help="processor features to use; default: all there are",
    )
    add(
        "--max-memory",
        default="",
        metavar="SIZE",
        help=f"memory that reading one file may take; default: {DEFAULT_MEMORY}",
    )
    add("--plan", action="store_true", help="show how each layer is computed, and its time")
    add("--json", action="store_true", dest="as_json", help="print JSON and nothing else")
    return parser


def as_command() -> Callable[..., None]:
    """A function with the arguments and options of ``run``, for its help alone."""
    import inspect
    from typing import Annotated

    import typer

    parser, parameters = _parser(), []
    for action in parser._actions:
        about: dict[str, Any] = {"help": action.help, "show_default": False}
        flag = action.nargs == 0
        if not action.option_strings:
            several = "..." if action.nargs else ""
            made: Any = typer.Argument(metavar=f"{action.metavar}{several}", **about)
            default: Any = inspect.Parameter.empty
        else:
            metavar = "|".join(action.choices) if action.choices else action.metavar
            metavar = None if flag else str(metavar)
            made = typer.Option(*action.option_strings, metavar=metavar, **about)
            default = False if flag else ""
        kind: Any = bool if flag else str
        annotation: Any = Annotated[kind, made]
        kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(
            inspect.Parameter(action.dest, kinds, default=default, annotation=annotation)
        )

    def command(**given: Any) -> None:
        del given

    command.__doc__ = f"{parser.description}\n\n{parser.epilog}"
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    from spiketicket.cli.inputs import reader_for

    set_max_memory(options.max_memory)
    engine = _engine(options)
    reader = reader_for(
        engine, resize=options.resize, time_unit=options.time_unit, split=options.split_at_reset
    )
    outcome = _Outcome(top=min(options.top, len(engine.classes)), as_json=options.as_json)
    for batch in _batches(options.inputs, reader, engine, outcome):
        _classify(engine, batch, outcome)
    steps = engine.plan(outcome.timed) if options.plan else None
    if options.as_json:
        report: dict[str, Any] = {"ticket": str(options.ticket), "backend": engine.backend}
        report |= {"results": outcome.results, "errors": outcome.errors}
        say_json(report if steps is None else {**report, "plan": steps})
    elif steps is not None:
        _print_plan(steps)
    if outcome.errors:
        return SOME_FAILED if outcome.count else BAD_INPUT
    return 0


def _engine(options: argparse.Namespace) -> Engine:
    from spiketicket.engine import Engine

    with warnings.catch_warnings(record=True, action="always") as told:
        engine = Engine(
            options.ticket,
            threads=options.threads,
            level=options.level,
            backend=options.backend,
            mode="latency" if options.latency else "throughput",
            tune=options.tune,
        )
    for warning in told:
        note(str(warning.message))
    return engine


def _batches(
    inputs: Sequence[Path], reader: Reader, engine: Engine, outcome: _Outcome
) -> Iterator[list[Sample]]:
    """Samples, as many at once as take little memory."""
    from spiketicket.cli.inputs import expand

    p = engine.program
    most = max(1, min(_BATCH, _BATCH_VALUES // (p.frames * p.channels * p.height * p.width)))
    batch: list[Sample] = []
    for found in expand(inputs, reader.suffixes):
        try:
            if isinstance(found, UserError):
                raise found
            for number, sample in enumerate(reader.read(found)):
                for remark in () if number else sample.notes:
                    note(f"{found}: {remark}")
                batch.append(sample)
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
    import numpy as np

    x = np.stack([sample.x for sample in batch]).reshape(len(batch), *engine.input_shape)
    logits = engine.run(x)
    if outcome.timed is None:
        outcome.timed = x
    outcome.count += len(batch)
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    best = np.argsort(-logits, axis=1, kind="stable")[:, : outcome.top]
    for sample, row, share, order in zip(batch, logits, shares, best, strict=True):
        classes = [
            {
                "class": engine.classes[i],
                "index": int(i),
                "logit": float(row[i]),
                "probability": float(share[i]),
            }
            for i in order
        ]
        if outcome.as_json:
            outcome.results.append({"input": sample.name, "classes": classes})
        else:
            said = ", ".join(f"{c['class']} {100 * c['probability']:.1f} %" for c in classes)
            say(f"{sample.name}: {said}")


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
