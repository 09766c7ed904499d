"""``spiketicket recipe``: what may stand in a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from spiketicket.cli.declare import Argument, Group
from spiketicket.cli.options import JsonOption
from spiketicket.machine.output import say_json

if TYPE_CHECKING:
    from spiketicket.recipe.explain import Key, Part

app = Group(help="What may stand in a recipe.")


@app.command(examples=("spiketicket recipe explain train.warmup",))
def explain(
    target: Annotated[
        str,
        Argument(
            metavar="SECTION[.KEY]",
            help="A section, a key of it, or one of its names (model.vgg9). Default: all sections.",
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Say what a key of a recipe is: its type, range, default and meaning."""
    from dataclasses import asdict

    from spiketicket.recipe.explain import Key
    from spiketicket.recipe.explain import explain as explained

    found = explained(target)
    if as_json:
        say_json([asdict(each) for each in found])
        return
    for each in found:
        if isinstance(each, Key):
            _print_key(each)
        else:
            _print_part(each, short=not target)


def _print_part(part: Part, *, short: bool) -> None:
    from spiketicket.cli.console import print_indented, print_line

    print_line(f"[{part.path}]", "bold")
    print_indented(part.meaning)
    if short:
        names = [key.path.removeprefix(f"{part.path}.") for key in part.keys]
        print_indented(", ".join(names))
        print_line("")
        return
    print_line("")
    for key in part.keys:
        _print_key(key)
    if part.names:
        print_line(f"{part.path}.name is one of", "bold")
        for name, what in part.names.items():
            print_indented(f"{name}: {what}")
        print_line("")
        one = f"{part.path}.{next(iter(part.names))}"
        print_line(f"The keys of one: spiketicket recipe explain {one}")


def _print_key(key: Key) -> None:
    from spiketicket.cli.console import print_indented, print_line

    stated = f"default {key.default}" if key.default else f"required, for example {key.example}"
    print_line(key.path, "bold")
    if key.choices:
        print_indented(f"of {', '.join(key.choices)}")
    print_indented(": ".join(filter(None, (key.kind, key.range))))
    print_indented(stated)
    print_indented(key.meaning)
    print_line("")
