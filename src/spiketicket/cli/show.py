"""``spiketicket show``: what is in a ticket, or what a run came to. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spiketicket.cli.declare import Argument
from spiketicket.cli.options import JsonOption, MaxMemoryOption
from spiketicket.cli.places import ticket_or_folder
from spiketicket.machine.output import say_json

if TYPE_CHECKING:
    from spiketicket.ticket import TicketSummary


def show(
    places: Annotated[
        list[Path],
        Argument(
            help="Tickets, by file or name in the zoo, and run folders.", read=ticket_or_folder
        ),
    ],
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Check ticket files and print their layers and sizes, and what they state of themselves.

    Of a run folder, print its verdict, stages, training curves and cost, or how far it is.
    """
    found = [_shown(place, as_json) for place in places]
    if as_json:  # one document: of one place its table, of several a list
        say_json(found[0] if len(found) == 1 else found)


def _shown(place: Path, as_json: bool) -> dict[str, Any]:
    """Print what is in a ticket or a run folder, but for JSON, which is returned."""
    if place.is_dir():
        from spiketicket.cli.print_run import show_run

        return show_run(place, as_json=as_json)
    return _show(place, as_json)


def _show(ticket: Path, as_json: bool) -> dict[str, Any]:
    from spiketicket.cli.print_stated import print_misfits
    from spiketicket.experiment.stated import stated_checks
    from spiketicket.ticket import Ticket, describe, read_metadata

    # The header alone would do for the tables, but not tell whether the rest is intact.
    loaded = Ticket.load(ticket)
    summary, metadata = describe(ticket), read_metadata(ticket)
    checks = stated_checks(loaded)
    if not as_json:
        _print_layers(summary)
        _print_provenance(metadata, summary, ticket)
        print_misfits(checks)
        return {}
    own = {key: metadata[key] for key in ("format_version", "digest")}
    return {
        **own,
        "summary": summary.to_dict(),
        "checks": [check.to_dict() for check in checks],
        "stated": {k: v for k, v in metadata.items() if k not in (*own, "layers")},
    }


def _print_layers(summary: TicketSummary) -> None:
    from spiketicket.cli.console import print_table, size_text

    rows = [
        [
            row.name,
            "x".join(str(side) for side in row.shape),
            f"{row.size:,}",
            f"{row.kept:,}",
            f"{row.density:.4f}",
            row.kind if row.alpha is None else f"{row.alpha:.4g}",
            size_text(row.packed_bytes),
            size_text(row.entropy_bytes),
        ]
        for row in summary.layers
    ]
    total = [f"{summary.size:,}", f"{summary.kept:,}", f"{summary.density:.4f}"]
    sizes = [size_text(summary.packed_bytes), size_text(summary.entropy_bytes)]
    rows.append(["all", "", *total, "", *sizes])
    columns = ("layer", "shape", "weights", "kept", "density", "scale", "packed", "entropy")
    print_table(columns, rows, left=2)


def _print_provenance(metadata: Mapping[str, Any], summary: TicketSummary, path: Path) -> None:
    from spiketicket.cli.console import print_facts
    from spiketicket.cli.print_result import print_verdict
    from spiketicket.cli.print_sizes import size_facts

    own = [("format", str(metadata["format_version"])), ("digest", str(metadata["digest"]))]
    print_facts([*size_facts(summary, path), *own], title="ticket")
    stated = _provenance(metadata)
    if stated:
        print_facts(stated, title="stated by its maker; `spiketicket verify` checks it")
    if isinstance(metadata.get("verdict"), dict):
        print_verdict(metadata["verdict"], stated=True)


def _provenance(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts from metadata that any program may have written: what is not there is left out."""
    from spiketicket.cli.print_ladder import flipped
    from spiketicket.recipe.shapes import encoder_words
    from spiketicket.ticket.drawn_signs import signs_searched

    found: list[tuple[str, object]] = [("condition", metadata.get("condition"))]
    network, recipe, data = (_table(metadata, key) for key in ("network", "recipe", "data"))
    args = _table(network, "args")
    found += [("network", network.get("name")), *args.items()]
    found += [("encoder", encoder_words(_table(args, "model").get("encoder", "none")) or None)]
    found += [("data", data.get("name")), ("checksum", data.get("checksum"))]
    found += [(key, metadata.get(key)) for key in ("classes", "normalisation")]
    found += [("recipe", recipe.get("name")), ("recipe hash", metadata.get("recipe_hash"))]
    method = _table(metadata, "method") or _table(recipe, "ticket")
    accuracy = {k: v for k, v in _table(metadata, "accuracy").items() if v is not None}
    found += [("method", method.get("name"))]
    found += [("seed", metadata.get("seed")), ("accuracy %", accuracy or None)]
    if signs_searched(metadata):
        found.append(("signs", "searched with the mask, one stored bit per kept weight"))
    if "signs" in metadata and "signs_flipped" in metadata:
        found.append(("signs flipped", flipped(metadata)))
    if early := _table(metadata, "early_exit"):
        found.append(("early exit", early))
    found += [("made with", metadata.get("versions"))]
    return [(str(name), _flat(value)) for name, value in found if value is not None]


def _table(metadata: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = metadata.get(key)
    return value if isinstance(value, dict) else {}


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_flat(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
