"""``spiketicket exit``: a margin at which a net may answer before its last time step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spiketicket.cli.declare import Option
from spiketicket.cli.options import (
    JsonOption,
    MaxMemoryOption,
    RecordOption,
    RootOption,
    TicketArgument,
    require_there,
)
from spiketicket.errors import UserError
from spiketicket.machine.output import say, say_json

if TYPE_CHECKING:
    from spiketicket.experiment.early_exit import EarlyExit


def early_exit(
    ticket: TicketArgument,
    *,
    output: Annotated[
        Path | None, Option("--output", "-o", help="Write the ticket with its margin to this file.")
    ] = None,
    changed: Annotated[
        str,
        Option(
            "--changed",
            metavar="PERCENT,...",
            help="Validation samples that may get another answer than after all steps; the first"
            " one's margin is kept. Default: 0,1,2.",
        ),
    ] = "0,1,2",
    images: Annotated[
        str, Option("--images", metavar="N|all", help="Test samples to count. Default: 256.")
    ] = "",
    table: Annotated[
        str, Option("--energy", metavar="TABLE", help="Energy table. Default: 45nm-fp32.")
    ] = "",
    root: RootOption = "",
    record: RecordOption = None,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Choose the margin at which a net answers early, on the validation split; show what it saves.

    A net stops at the first time step after which its best class leads the next one by the margin,
    in the sums of the logits. The test split is only for the table: mean steps, accuracy, energy
    and time. `spiketicket run --early-exit` and the exports take the margin from the ticket that -o
    writes.
    """
    require_there(ticket)
    shares = _shares(changed)

    from spiketicket.cli.measure import _images
    from spiketicket.experiment.early_exit import choose_margin, with_margin
    from spiketicket.experiment.record import add_record, check_record
    from spiketicket.machine.files import check_place
    from spiketicket.measure.energy import DEFAULT
    from spiketicket.ticket import Ticket

    if output is not None:
        check_place(output, "output")
    if record is not None:
        check_record(record)
    found = choose_margin(
        ticket, changed=shares, images=_images(images), table=table or DEFAULT, root=root
    )
    if output is not None:
        with_margin(Ticket.load(found.ticket), found.stated()).save(output)
    if record is not None:
        add_record(record, _line(found))
    if as_json:
        say_json({**found.to_dict(), "chosen": found.stated()})
        return
    _print(found)
    if output is None:
        say("the ticket is as it was: -o FILE writes one with this margin")
    else:
        say(f"{output}: the ticket with its margin")


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        what = "must be percentages, with commas between them"
        raise UserError(what, where="--changed", value=text) from None


def _line(found: EarlyExit) -> dict[str, Any]:
    import torch

    from spiketicket.experiment.provenance import machine
    from spiketicket.ticket import read_metadata

    meta = read_metadata(found.ticket)
    facts = found.to_dict()
    del facts["ticket"]
    recipe: Any = meta.get("recipe") or {}
    return {
        "name": recipe.get("name"),
        "hash": str(meta.get("recipe_hash", "")),
        "recipe": dict(recipe),
        **machine(torch.device("cpu")),
        **facts,
        "chosen": found.stated(),
    }


def _print(found: EarlyExit) -> None:
    from spiketicket.cli.console import print_line, print_table

    whole = found.rows[0]
    rows = [
        [
            row.rule if row.changed is None else f"margin, {row.changed:g} %",
            "-" if row.margin is None else f"{row.margin:.4g}",
            f"{row.validation_steps:.2f}",
            f"{row.validation_accuracy:.2f}",
            f"{row.test_steps:.2f}",
            f"{row.test_accuracy:.2f}",
            f"{row.test_changed:.2f}",
            f"{row.energy_pj / 1000:,.1f}",
            f"{row.energy_pj / whole.energy_pj:.2f}" if whole.energy_pj else "-",
            f"{row.ms:.3f}",
        ]
        for row in found.rows
    ]
    columns = (
        "answer after",
        "margin",
        "validation\nsteps",
        "validation\n%",
        "test\nsteps",
        "test\n%",
        "changed\n%",
        "energy\nnJ",
        "x",
        "ms",
    )
    title = f"{found.dataset}: {found.validation_count:,} validation samples choose the margin, "
    print_table(columns, rows, title=f"{title}{found.test_count:,} test samples report", left=1)
    print_line(
        "margin, n %: at most n % of the validation samples get another answer than after all"
        " steps; changed: of the test samples"
    )
    print_line(
        f"Energy by {found.table}, membranes included, of the first {found.images} test samples."
        " ms: one sample alone, on one thread; always and all steps compute their steps at once"
    )
