"""``spiketicket report``: run folders as one page. Needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from spiketicket.cli.declare import Argument, Option
from spiketicket.cli.options import JsonOption
from spiketicket.machine.output import note, say_json
from spiketicket.machine.sizes import file_size


def report(
    runs: Annotated[list[Path], Argument(metavar="RUN...", help="One or more run folders.")],
    output: Annotated[
        Path, Option("--output", "-o", metavar="FILE", help="The page to write.")
    ] = Path("report.html"),
    figures: Annotated[
        Path | None,
        Option("--figures", metavar="DIR", help="Also write every figure as SVG, its data as CSV."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page about any number of runs; it needs no network.

    A file of a run that cannot be read is named, and the page made without it.
    """
    from spiketicket.cli.console import print_line
    from spiketicket.report.writing import write_report

    written = write_report(runs, output, figures)
    if as_json:
        say_json(
            {
                "page": str(written.output),
                "bytes": written.size,
                "figures": None if figures is None else str(figures),
                "runs": written.runs,
                "detailed": written.detailed,
                "notes": [*written.notes],
            }
        )
        return
    for remark in written.notes:
        note(remark)
    print_line(f"report   {written.output}, {file_size(written.size)}")
    if figures is not None:
        print_line(f"figures  {figures}")
