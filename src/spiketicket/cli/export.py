"""``spiketicket export``: a ticket as files for other programs. Needs no PyTorch."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spiketicket.cli._options import JsonOption

if TYPE_CHECKING:
    from spiketicket.export.c import Exported


class Target(StrEnum):
    """What to write."""

    c = "c"


def export(
    ticket: Annotated[Path, typer.Argument(help="A .ticket file.")],
    to: Annotated[Target, typer.Option("--to", help="c: C99 for microcontrollers.")],
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the files.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Begins the files' and functions' names. Default: the file's."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a ticket as files for another program, and print what they need."""
    from spiketicket.engine.compile import compile_ticket
    from spiketicket.export.c import export_c
    from spiketicket.ticket import Ticket

    del to  # there is one so far
    made = export_c(compile_ticket(Ticket.load(ticket)), folder, name or c_name(ticket.stem))
    if as_json:
        print(json.dumps(_facts(made), indent=2))
    else:
        _print(made)


def c_name(text: str) -> str:
    """A C name made of a file's: other characters become ``_``, and a letter stands first."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", text)[:38]
    return plain if plain[:1].isascii() and plain[:1].isalpha() else f"t{plain}"


def _facts(made: Exported) -> dict[str, object]:
    sizes = made.sizes
    return {
        "files": [str(path) for path in made.files],
        "table_bytes": sizes.flash_bytes,
        "weight_bytes": sizes.weight_bytes,
        "ram_bytes": sizes.ram_bytes,
        "float_layers": list(sizes.float_layers),
    }


def _print(made: Exported) -> None:
    from spiketicket.cli._console import print_facts, size_text

    sizes = made.sizes
    flash, weights = size_text(sizes.flash_bytes), size_text(sizes.weight_bytes)
    floats = ", ".join(sizes.float_layers)
    facts = [
        ("files", ", ".join(str(path) for path in made.files)),
        ("flash", f"{flash} of tables, {weights} of them weights; the code comes on top"),
        ("RAM", size_text(sizes.ram_bytes)),
        ("float code", f"near thresholds, in {floats}" if floats else "none"),
    ]
    print_facts(facts, title="export")
