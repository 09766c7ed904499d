"""Command lines are read as they are everywhere: options anywhere, joined letters, ``--``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from spiketicket.cli.declare import Argument, Command, Option
from spiketicket.cli.helping import help_of_command
from spiketicket.cli.parse import HelpWanted, MisuseError, parse
from spiketicket.errors import UserError


class Colour(StrEnum):
    red = "red"
    blue = "blue"


def refuse(value: str) -> None:
    if value == "bad":
        raise UserError("is bad", where="--word")


def told(
    first: Annotated[Path, Argument(help="One.")],
    others: Annotated[list[str] | None, Argument(help="More.")] = None,
    *,
    number: Annotated[int, Option("--number", "-n", min=1, help="A number.")] = 3,
    share: Annotated[float | None, Option("--share", help="A share.")] = None,
    colour: Annotated[Colour, Option("--colour", help="Which.")] = Colour.red,
    unit: Annotated[Literal["ms", "us"], Option("--unit", help="Of times.")] = "us",
    word: Annotated[str, Option("--word", callback=refuse, help="A word.")] = "",
    add: Annotated[list[str] | None, Option("--add", "-a", help="Repeatable.")] = None,
    quick: Annotated[bool, Option("--quick", "-q", help="A flag.")] = False,
    verbose: Annotated[bool, Option("--verbose", "-v", help="Another.")] = False,
    report: Annotated[bool, Option(help="On by itself.")] = True,
) -> None:
    """Do it.

    A second paragraph in
    two lines.
    """


TOLD = Command("told", told, ("told a.txt",))
DEFAULTS = {
    "first": Path("a"),
    "others": None,
    "number": 3,
    "share": None,
    "colour": Colour.red,
    "unit": "us",
    "word": "",
    "add": None,
    "quick": False,
    "verbose": False,
    "report": True,
}


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("a", {}),
        ("a b c", {"others": ["b", "c"]}),
        ("--number 5 a", {"number": 5}),
        ("a --number=5 b", {"number": 5, "others": ["b"]}),
        ("-n5 a", {"number": 5}),
        ("-n=5 a", {"number": 5}),
        ("-n 5 -n 6 a", {"number": 6}),
        ("a --share -0.5", {"share": -0.5}),
        ("-qv a", {"quick": True, "verbose": True}),
        ("-qn7 a", {"quick": True, "number": 7}),
        ("a --add x -ay --add=--z", {"add": ["x", "y", "--z"]}),
        ("a --colour blue --unit ms", {"colour": Colour.blue, "unit": "ms"}),
        ("a -- --number -q", {"others": ["--number", "-q"]}),
        ("a -", {"others": ["-"]}),
        ("a --word a=b", {"word": "a=b"}),
        ("a --no-report", {"report": False}),
        ("a --no-report --report", {}),
    ],
)
def test_read(line: str, changed: dict[str, Any]) -> None:
    assert parse(TOLD, line.split()) == {**DEFAULTS, **changed}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "FIRST: is missing"),
        ("a --numbr 5", "--numbr: no such option. Did you mean --number?"),
        ("a --over 5", "--over: no such option. Known: "),
        ("a --number", "--number: needs a value"),
        ("a --number 0", "--number: must be >= 1 (got 0)"),
        ("a --number 1.5", "--number: must be a whole number (got '1.5')"),
        ("a --number 1_0", "--number: must be a whole number (got '1_0')"),
        ("a --share nan", "--share: must be a number (got 'nan')"),
        ("a --colour green", "--colour: is none of its values (got 'green')"),
        ("a --unit s", "--unit: is none of its values (got 's')"),
        ("a --quick=1", "--quick: takes no value (got '1')"),
        ("a --word bad", "--word: is bad"),
        ("a -z", "-z: no such option"),
    ],
)
def test_mistakes(line: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse(TOLD, line.split())
    assert str(error.value).startswith(said)


def test_one_argument_too_many() -> None:
    def one(first: Annotated[str, Argument(help="One.")]) -> None:
        """Take one."""

    with pytest.raises(MisuseError, match="b: is one argument too many"):
        parse(Command("one", one), ["a", "b"])


@pytest.mark.parametrize("line", ["-h", "a --help", "-qh"])
def test_help_is_asked_for(line: str) -> None:
    with pytest.raises(HelpWanted):
        parse(TOLD, line.split())


def test_the_help_says_all_in_80_columns() -> None:
    text = help_of_command("program told", TOLD)
    assert max(map(len, text.splitlines())) <= 80
    assert "Usage: program told [OPTIONS] FIRST [OTHERS...]" in text
    assert "A second paragraph in two lines." in text
    for param in TOLD.params:
        assert all(name in text for name in param.opts)
        assert param.told.help in text
    assert "-n, --number N" in text
    assert "A number. Default: 3." in text
    assert "red|blue" in text
    assert "  told a.txt" in text


def test_every_command_says_what_it_is_and_has_an_example() -> None:
    from spiketicket.cli import app

    for name, command in app.commands.items():
        assert command.help, name
        if isinstance(command, Command):
            assert command.examples, name
            for line in command.examples:
                words = line.split()
                assert words[:2] == ["spiketicket", name]
                parse(command, words[2:])
