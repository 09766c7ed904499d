"""``spiketicket export``: a ticket as files for other programs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spiketicket.cli._options import JsonOption, RootOption
from spiketicket.errors import UserError


class Target(StrEnum):
    """What to write."""

    nir = "nir"
    onnx = "onnx"
    torch = "torch"
    hub = "hub"


def export(
    ticket: Annotated[Path, typer.Argument(help="A .ticket file.")],
    to: Annotated[
        Target,
        typer.Option(
            "--to",
            help="nir: a graph for SpikingJelly, snnTorch and chips; onnx; torch: a Python file"
            " without this package; hub: a Hugging Face folder.",
        ),
    ],
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the files.")
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Begins the files' names. Default: the ticket file's."),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=2, help="Test samples to check the result on.")
    ] = 32,
    root: RootOption = "",
    network: Annotated[
        str,
        typer.Option(
            "--network",
            metavar="MODULE:FUNCTION",
            help="Your own network that made the ticket; its code is run.",
        ),
    ] = "",
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="USER/NAME", help="hub: upload to this repository too."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="hub: make the repository a private one.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a ticket as files for another program, check them there, and print what came out."""
    from spiketicket.cli import _export_torch as made

    if to is not Target.hub and (push or private):
        option = "--push" if push else "--private"
        raise UserError("goes with --to hub only", where=option, value=str(to))
    stem = name or ticket.stem
    if to is Target.hub:
        facts = made.export_hub(ticket, folder, stem, push, private)
    else:
        write = {
            Target.nir: made.export_nir,
            Target.onnx: made.export_onnx,
            Target.torch: made.export_module,
        }[to]
        facts = write(ticket, folder, stem, network, root, samples)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        made.print_export(facts)
