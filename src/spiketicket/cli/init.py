"""``spiketicket init``: a first recipe for your own pictures or recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from spiketicket.cli.declare import Option
from spiketicket.cli.options import JsonOption, MaxMemoryOption, SetOption
from spiketicket.errors import UserError
from spiketicket.machine.output import note, say, say_json


def init(
    *,
    images: Annotated[
        Path | None,
        Option("--images", metavar="DIR", help="Your pictures: a folder for each class."),
    ] = None,
    events: Annotated[
        Path | None,
        Option("--events", metavar="DIR", help="Your recordings: a folder for each class."),
    ] = None,
    output: Annotated[
        Path | None,
        Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The recipe to write. Default: named like the folder.",
        ),
    ] = None,
    settings: SetOption = None,
    force: Annotated[bool, Option("--force", help="Write over a file that is there.")] = False,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Look at your data and write a commented recipe for it, which runs as it is.

    Network, sizes, epochs and density follow rules that its comments state. `--set` says of the
    data what the files do not, as in a recipe: data.sensor, data.time_unit.
    """
    if (images is None) == (events is None):
        what = "give one of them" if images is None else "give one of them, not both"
        remedy = "In DIR there is a folder for each class: DIR/CLASS/FILE"
        raise UserError(what, where="--images, --events", remedy=remedy)
    folder = images if images is not None else events
    assert folder is not None  # noqa: S101 - one of the two is there
    path = output or Path(f"{folder.resolve().name or 'mine'}.toml")
    _require_free(path, force=force)

    from spiketicket.data.looking import look_at_pictures, look_at_recordings
    from spiketicket.experiment.first_recipe import first_recipe
    from spiketicket.machine.files import check_place, write_bytes

    given = settings or []
    for text in given:
        if not text.strip().startswith("data."):
            what = "must be of the section data"
            remedy = "Change the others in the file that is written"
            raise UserError(what, where="--set", value=text, remedy=remedy)
    check_place(path, "output")
    look = (look_at_recordings if images is None else look_at_pictures)(folder, given)
    made = first_recipe(look, path, given)
    _require_free(path, force=force)
    write_bytes(path, made.text.encode(), "output")
    if as_json:
        facts = dict(made.facts)
        say_json({"path": str(path), "found": facts, "recipe": made.recipe.model_dump(mode="json")})
        return

    from spiketicket.cli.console import print_facts

    for remark in look.notes:
        note(remark)
    chosen = made.recipe
    print_facts(
        [
            *made.facts,
            ("network", f"{chosen.model.name}, {chosen.model.weights} weights"),
            ("epochs", f"{chosen.train.epochs}, in batches of {chosen.train.batch_size}"),
            ("density", f"{chosen.ticket.density}"),
        ]
    )
    say(f"recipe   {path}")
    say(f"next     spiketicket find {path}")


def _require_free(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise UserError("is a folder", where=str(path), remedy="Name a file: -o my.toml")
    if path.exists() and not force:
        remedy = "Choose another name with --output, or write over it with --force"
        raise UserError("is there already", where=str(path), remedy=remedy)
