"""The library speaks of arguments, the command line of options."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import Result

import spiketicket
from spiketicket.cli import app
from spiketicket.cli.wording import _OPTIONS, worded
from spiketicket.errors import UserError, argument

Run = Callable[..., Result]
Call = Callable[[], object]

SOURCE = Path(spiketicket.__file__).parent
OPTION = re.compile(r"(?<!var\()(?<![\w-])--[a-z]")
COMMAND = re.compile(r"(^|`)(spiketicket|pip|ray|benchmarks/\w+\.py) [^`]*")
"""To be pasted into a shell."""
KEPT = {"reproduce/tables.py": "`--scale ", "reproduce/runner.py": "`--scale "}
"""Written into results."""


def library() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith("cli/") and name != "__main__.py":
            yield name, ast.parse(path.read_text("utf-8"))


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """String literals; of an f-string the whole, with {} for its values."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
            yield node.lineno, "".join(map(str, parts))
            for value in node.values:
                yield from texts(value)
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
            continue
        yield from texts(node)


@pytest.mark.slow
def test_the_library_names_no_option() -> None:
    wrong = [
        f"{name}:{line}: {text[:80]}"
        for name, tree in library()
        for line, text in texts(tree)
        if OPTION.search(COMMAND.sub("", text)) and not (name in KEPT and KEPT[name] in text)
    ]
    assert wrong == []


def commands(group: object = None, path: str = "") -> Iterator[tuple[str, set[str]]]:
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")
        else:
            yield f"{path}{name}", {option for each in command.params for option in each.opts}


@pytest.mark.slow
def test_every_argument_in_a_message_is_an_option_of_a_command() -> None:
    every = set().union(
        *(options for _, options in commands()), {"--resize", "--split-at-reset", "--top"}
    )
    named = {
        str(node.args[0].value)
        for _, tree in library()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "argument"
        if isinstance(node.args[0], ast.Constant)
    }
    assert {"seeds", "network", "runs_dir"} <= named
    for name in named:
        assert worded(argument(name), every).startswith("--"), name
    for name, options in _OPTIONS.items():
        assert {option.partition(" ")[0] for option in options} <= every, name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (argument("seeds"), "--seeds"),
        (f"{argument('overrides')} a.b: is", "--set a.b: is"),
        (argument("network", "a.b:c"), "--network a.b:c"),
        (argument("trust_options", True), "--trust-options"),
        (argument("options", {"n": 2, "s": "a b"}), "--options n=2 --options 's=\"a b\"'"),
        (argument("options", {"s": "a`b"}), "--options 's=\"a`b\"'"),
        (argument("runs_dir"), "folder"),
        (argument("root"), "--set data.root"),
        ("`spiketicket show` of `x` and `root", "`spiketicket show` of `x` and `root"),
        (argument("energy"), "`energy`"),
        (argument("network", object), "--network <class 'object'>"),
    ],
)
def test_words(text: str, said: str) -> None:
    options = {"--seeds", "--set", "--network", "--options", "--trust-options"}
    assert worded(text, options) == said


def _find(**given: object) -> Call:
    from spiketicket import find, load_recipe
    from spiketicket.recipe.registry import SHIPPED

    return lambda: find(load_recipe(SHIPPED / "digits-binw.toml"), **given)  # type: ignore[arg-type]


def _recipe(*overrides: str) -> Call:
    from spiketicket import load_recipe
    from spiketicket.recipe.registry import SHIPPED

    return lambda: load_recipe(SHIPPED / "digits-binw.toml", overrides)


def _zoo() -> str:
    from spiketicket.ticket.zoo import find_ticket

    return str(find_ticket("digits-binw").path)


def _measure(**given: object) -> Call:
    from spiketicket.experiment.measure import measure_ticket

    return lambda: measure_ticket(_zoo(), **given)  # type: ignore[arg-type]


def _axes(*texts: str) -> Call:
    from spiketicket.recipe import recipe_tables
    from spiketicket.recipe.registry import SHIPPED
    from spiketicket.sweep.axes import make_runs, parse_axes

    tables = recipe_tables(SHIPPED / "digits-binw.toml")
    return lambda: make_runs(tables, parse_axes(texts))


def _network() -> Call:
    from spiketicket import find, load_recipe
    from spiketicket.recipe.registry import SHIPPED

    def call() -> None:
        recipe = load_recipe(
            SHIPPED / "digits-binw.toml", ["model.name=a.b:c", "neuron.name=custom"]
        )
        find(recipe)

    return call


def _entries(*overrides: str) -> Call:
    from spiketicket.compare import make_entries

    return lambda: make_entries({}, ["imp"], [0.5], 1, overrides=overrides)


CUSTOM = ("--set", "model.name=a.b:c", "--set", "neuron.name=custom")


@pytest.mark.parametrize(
    ("call", "told", "command", "said"),
    [
        (
            lambda: _find(seeds=20000),
            "`seeds`: must be from 1 to 10000 (got 20000)",
            ["find", "--seeds", "20000"],
            "--seeds: must be from 1 to 10000 (got 20000)",
        ),
        (
            lambda: _recipe("seed=1", "seed=2"),
            "`overrides` seed: is given twice",
            ["find", "--set", "seed=1", "--set", "seed=2"],
            "--set seed: is given twice",
        ),
        (
            lambda: _recipe("ticket.density=0"),
            "`overrides` ticket.density: must be > 0 (got 0)",
            ["train", "--set", "ticket.density=0"],
            "--set ticket.density: must be > 0 (got 0)",
        ),
        (
            lambda: _axes("seed=a"),
            "`axes` seed: must be a whole number >= 0 (got 'a')",
            ["sweep", "--axis", "seed=a", "--yes"],
            "--axis seed: must be a whole number >= 0 (got 'a')",
        ),
        (
            lambda: _axes("ticket.density=0.1,0.1"),
            "`axes` ticket.density: has a value twice (got '0.1')",
            ["sweep", "--axis", "ticket.density=0.1,0.1"],
            "--axis ticket.density: has a value twice (got '0.1')",
        ),
        (
            lambda: _measure(images=5000),
            "`images`: must be from 1 to the 360 test images of digits, or all (got 5000)",
            ["measure", _zoo(), "--images", "5000"],
            "--images: must be from 1 to the 360 test images of digits, or all (got 5000)",
        ),
        (
            _network,
            "If you trust that function, say so: `network='a.b:c'`, or trust = ",
            ["find", *CUSTOM],
            "If you trust that function, say so: --network a.b:c, or trust = ",
        ),
        (
            lambda: _find(trust_options=True),
            "`trust_options`: goes with `network` only",
            ["find", "--trust-options"],
            "--trust-options: goes with --network only",
        ),
        (
            lambda: _find(network="mynet"),
            "`network`: names no custom network (got 'mynet'). It is module:function",
            ["find", "--network", "mynet"],
            "--network: names no custom network (got 'mynet'). It is module:function",
        ),
        (
            lambda: _entries("ticket.density=1"),
            "`overrides`: the ticket is what differs (got 'ticket.density=1'). Use"
            " `method_options` METHOD.KEY=VALUE",
            ["compare", "--methods", "imp", "--set", "ticket.density=1"],
            "--set: the ticket is what differs (got 'ticket.density=1'). Use"
            " --option METHOD.KEY=VALUE",
        ),
        (
            lambda: _find(runs_dir="/dev/null"),
            "cannot be written: Not a directory. Choose another `runs_dir`",
            ["find", "--runs", "/dev/null"],
            "cannot be written: Not a directory. Choose another --runs",
        ),
    ],
    ids=lambda value: " ".join(value[:3])[-30:] if isinstance(value, list) else "",
)
def test_both_faces(
    spike: Run, call: Callable[[], Call], told: str, command: list[str], said: str
) -> None:
    with pytest.raises(UserError) as error:
        call()()
    assert told in str(error.value)
    assert "--" not in str(error.value)
    result = spike(*command)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "`" not in result.stderr
