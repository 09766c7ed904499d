"""Help comes without PyTorch; how soon, benchmarks/start.py says."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result

from spiketicket.cli import app
from spiketicket.cli.application import GROUPS
from spiketicket.cli.completion import words
from spiketicket.cli.console import print_facts, print_table
from spiketicket.cli.declare import Group
from spiketicket.cli.parse import parse

pytestmark = pytest.mark.slow


COMMANDS = [
    "init",
    "recipe",
    "completion",
    "find",
    "train",
    "sweep",
    "reproduce",
    "run",
    "eval",
    "measure",
    "report",
    "show",
    "verify",
    "pack",
    "quantise",
    "export",
    "data",
    "zoo",
    "version",
]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = f"""
import sys
from spiketicket.cli import main
sys.argv = ["spiketicket", *{command.split()!r}, "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {{"torch", "numpy", "scipy", "pooch", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_no_arguments_show_the_help(spike: Callable[..., Result]) -> None:
    result = spike()
    assert result.exit_code == 2
    for command in COMMANDS:
        assert command in result.output


def test_paragraphs_of_the_help_fill_the_lines(spike: Callable[..., Result]) -> None:
    shown = spike("reproduce", "--help").output.splitlines()
    first = next(i for i, line in enumerate(shown) if "Stopped at any time" in line)
    last = next(i for i, line in enumerate(shown) if "before anything starts" in line)
    assert last > first
    # no line ends where the first word of the next one would still have had room
    for line, after in zip(shown[first:last], shown[first + 1 : last + 1], strict=True):
        assert len(line.rstrip()) + 1 + len(after.split()[0]) > 79


def test_version(spike: Callable[..., Result]) -> None:
    from spiketicket import __version__

    assert spike("--version").output == f"spiketicket {__version__}\n"
    assert spike("version").output == f"spiketicket {__version__}\n"
    verbose = spike("version", "--verbose").output
    for word in ("python", "torch", "numpy", "threads", "cuda", "engine", "neurons"):
        assert word in verbose
    assert json.loads(spike("version", "--json").output) == {"spiketicket": __version__}
    told = json.loads(spike("version", "--verbose", "--json").output)
    assert all(
        f"{name:12} {value}" in verbose for name, value in told.items() if name != "spiketicket"
    )


def commands() -> list[str]:
    return [name for name in words() if name]


@pytest.mark.parametrize("command", ["", *commands()])
def test_every_help_fits_80_columns_and_has_an_example(
    spike: Callable[..., Result], command: str
) -> None:
    shown = spike(*command.split(), "--help").output
    assert max(map(len, shown.splitlines())) <= 80
    _, _, example = " ".join(shown.split()).partition("Examples: ")
    assert example.startswith(f"spiketicket {command}".strip())


def examples() -> list[str]:
    made = app.commands.values()
    every = [part for c in made for part in (c.commands.values() if isinstance(c, Group) else [c])]
    return [example for command in every for example in command.examples]


@pytest.mark.parametrize("example", examples())
def test_an_example_is_understood(example: str) -> None:
    program, first, *rest = shlex.split(example.partition(" > ")[0])
    assert program == "spiketicket"
    command = app.command(first)
    if isinstance(command, Group):
        command, rest = command.commands[rest[0]], rest[1:]
    assert isinstance(parse(command, rest), dict)


def test_the_help_has_groups_in_their_order(spike: Callable[..., Result]) -> None:
    shown = spike("--help").output
    places = [shown.index(f"\n{group}") for group in GROUPS]
    assert places == sorted(places)


def test_python_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spiketicket", "version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("spiketicket ")
    wrong = subprocess.run(
        [sys.executable, "-m", "spiketicket", "version", "-x"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("Usage: spiketicket version")


@pytest.mark.parametrize(
    "line",
    [
        "find nowhere.toml",
        "train nowhere.toml",
        "sweep nowhere.toml --axis seed=0,1",
        "compare nowhere.toml --methods imp --density 0.5",
        "eval nowhere.ticket",
        "measure nowhere.ticket",
        "bench nowhere.ticket",
        "verify nowhere.ticket",
        "show nowhere.ticket",
        "run nowhere.ticket x.png",
        "export nowhere.ticket --to onnx -o out",
        "export nowhere.ticket --to c -o out",
        "pack nowhere.ticket -o out.ticket",
        "report nowhere",
        "init --images nowhere",
    ],
)
def test_a_missing_file_is_told_before_pytorch_is_there(line: str, tmp_path: Path) -> None:
    code = f"""
import sys
from spiketicket.cli import main
sys.argv = ["spiketicket", *{line.split()!r}]
try:
    main()
except SystemExit as end:
    assert end.code == 2, end.code
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr.startswith("error: ")
    assert "nowhere" in done.stderr
    assert not list(tmp_path.iterdir())


def test_run_is_refused_as_the_others_are(spike: Callable[..., Result]) -> None:
    for command in ("run", "eval"):
        lines = spike(command).stderr.splitlines()
        assert lines[0].startswith(f"Usage: spiketicket {command} [OPTIONS] ")
        assert lines[1].startswith("error: ")
        assert lines[1].endswith(f". See spiketicket {command} --help")


def test_tables_and_facts_fit_80_columns_where_there_is_no_terminal(
    spike: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    lists = ("data list", "zoo list", "data check digits", "recipe explain train")
    tables = ("show digits-binw", "measure digits-binw", "verify digits-binw")
    for line in (*lists, *tables):
        shown = spike(*line.split()).output.splitlines()
        # sentences that stand alone are one line each, and a path is never broken
        parts = [text for text in shown if line in lists or text.startswith(" ")]
        assert parts
        assert max(len(text.rstrip()) for text in parts if "/" not in text) <= 80, line
    monkeypatch.setenv("COLUMNS", "200")
    assert max(map(len, spike("data", "list").output.splitlines())) > 100


def test_a_table_that_is_too_wide_is_shown_in_parts_that_all_name_the_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    columns = ("layer", "group", *(f"number{k}" for k in range(7)))
    rows = [[f"layer{i}", "conv", *(f"{i}{k}34567" for k in range(7))] for i in range(2)]
    print_table(columns, rows, left=2)
    shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= 40
    assert [line.split()[0] for line in shown if "layer" in line] == [
        "layer",
        "layer0",
        "layer1",
    ] * 3
    for row in rows:
        told = [word for line in shown if line.split()[:1] == row[:1] for word in line.split()[1:]]
        assert told == row[1:]
    for name in columns[1:]:
        assert sum(name in line.split() for line in shown) == 1


def test_a_word_is_never_broken_in_a_list_of_facts(capsys: pytest.CaptureFixture[str]) -> None:
    digest, path = "0123456789abcdef" * 8, "a/" * 60 + "x"
    print_facts([("digest", digest), ("note", f"left out, as it is not a picture: {path}")])
    shown = capsys.readouterr().out
    assert digest in shown
    assert path in shown
    assert " note    left out, as it is not a picture:\n" in shown
