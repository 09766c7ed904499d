"""The ``spiketicket`` command: one file a command, and no PyTorch until a command needs it."""

from __future__ import annotations

from typing import Annotated

import typer

from spiketicket import __version__
from spiketicket.cli import (
    compare,
    data,
    find,
    measure,
    pack,
    report,
    reproduce,
    show,
    sweep,
    train,
)
from spiketicket.cli._guard import GuardedGroup
from spiketicket.cli.eval import evaluate
from spiketicket.cli.version import version as print_versions

app = typer.Typer(
    name="spiketicket",
    cls=GuardedGroup,
    help="Find the winning lottery ticket inside a spiking neural network, prove it, ship it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("find")(find.find)
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("reproduce")(reproduce.reproduce)
app.command("eval")(evaluate)
app.command("measure")(measure.measure)
app.command("show")(show.show)
app.command("pack")(pack.pack)
app.command("report")(report.report)
app.add_typer(data.app, name="data")
app.command("version")(print_versions)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"spiketicket {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options before the command's name."""


def main() -> None:
    """Run the command line; ends the process with 0, 2 for bad input, or 130 after Ctrl-C."""
    app()
