"""Every command of every page is understood as it stands, and the cheap ones are run."""

from __future__ import annotations

import contextlib
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import spiketicket
from doc_blocks import PAGES, ROOT, Command, all_commands, expanded, key_of, spans_of

from spiketicket.cli import app
from spiketicket.cli.options import DEFAULT_RECIPE
from spiketicket.cli.parse import parse
from spiketicket.recipe import load_recipe, parse_data, read_tables
from spiketicket.recipe.named import recipe_path
from spiketicket.ticket import zoo

COMMANDS = all_commands()
OURS = [command for command in COMMANDS if command.arguments is not None]
OTHERS = [command for command in COMMANDS if command.arguments is None]
ROOT_COMMAND: Any = app
GROUPS = {n: c for n, c in ROOT_COMMAND.commands.items() if hasattr(c, "commands")}

# Run as they stand, in a folder with what a reader would have.
RUN = {
    "eval",
    "exit",
    "export",
    "measure",
    "pack",
    "report",
    "run",
    "show",
    "verify",
    "recipe explain",
    "version",
    "data list",
    "zoo list",
    "zoo path",
    "zoo eval",
}
# Not run here, for a reason; understood all the same.
NOT_RUN = {
    "init": "data that is not shipped; tests/cli/test_init.py",
    "find": "trains for minutes, but for the quickstart's toy; tests/cli/test_find.py",
    "train": "trains for minutes; tests/cli/test_find.py",
    "sweep": "trains for hours; tests/sweep",
    "compare": "trains for hours; tests/compare/test_compare.py",
    "reproduce": "trains for hours; tests/reproduce",
    "bench": "starts a process a peer and times for minutes; tests/bench",
    "live": "plays what comes in; tests/cli/test_live.py",
    "quantise": "its ticket has float layers, which the docs' has not; tests/cli/test_quantise.py",
    "data get": "goes to the network; tests/data/test_data_download.py",
    "data check": "data that is not shipped; tests/cli/test_data.py",
    "data view": "data that is not shipped; tests/cli/test_data.py",
    "view": "recordings that are not shipped; tests/cli/test_view.py",
    "zoo pull": "goes to the network; tests/export/test_hub.py",
}
# Single lines of a kind that is run.
LINES_NOT_RUN = {
    "spiketicket measure RUN1/cifar10-vgg9-binw-seed0.ticket RUN2/seed-0/dense/model.ticket"
    " RUN3/seed-0/dense/model.ticket --images all --record results/measure-cifar10-vgg9.jsonl": (
        "the nets of three runs on CIFAR-10, of hours"
    ),
    "spiketicket export my.ticket --to hub -o folder --push user/name": "goes to the network",
    "spiketicket zoo eval cifar10": "data that is not shipped; benchmarks/zoo.py",
    "spiketicket export nmnist1k-vgg --to web -o events --sample recording.bin": "test_web.py",
    "spiketicket export my.ticket --to onnx -o out": "tests/export/test_onnx_torch.py",
    "spiketicket run runs/pictures-*/pictures-seed0.ticket pictures/test": "cli/test_places.py",
    "spiketicket export runs/pictures-*/pictures-seed0.ticket --to c -o firmware": "test_c_tickets",
    "spiketicket run runs/recordings-*/recordings-seed0.ticket recordings/test": "likewise",
    "spiketicket run my.ticket recording.raw --roi 80,0,480,480 --scale 34x34": "cli/test_view.py",
    "spiketicket export my.ticket --to torch -o plain": "tests/export/test_onnx_torch.py",
}
# Trains for seconds: what it leaves is what the commands about runs find.
TOY = (
    "spiketicket find digits-binw --set data.train_limit=200 --set train.epochs=2"
    " --set model.timesteps=1"
)
# Words that stand for something of the reader's.
RECIPES = {"RECIPE", "/shared/recipe.toml", "again.toml", "pictures.toml", "recordings.toml"}
NAMES_OF_GUIDES = dict.fromkeys(("magnitude_init", "mlp", "arrays"), "test_adding.py adds it")


def needs_a_guide(command: Command) -> bool:
    return any(name in re.findall(r"\w+", command.text) for name in NAMES_OF_GUIDES)


def is_run(command: Command) -> bool:
    return key_of(command.arguments, GROUPS) in RUN and command.text not in LINES_NOT_RUN


@pytest.mark.parametrize("command", OURS, ids=lambda command: command.id)
def test_a_rule_covers_the_command(command: Command) -> None:
    assert key_of(command.arguments, GROUPS) in RUN | NOT_RUN.keys(), "run it, or say why not"


def test_no_exception_is_stale() -> None:
    texts = {command.text for command in COMMANDS}
    assert {*LINES_NOT_RUN, TOY} <= texts
    assert {*NAMES_OF_GUIDES} <= set(re.findall(r"\w+", " ".join(texts)))


def parsed(arguments: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """A command line's command and the values of its parameters; a usage error is raised."""
    command, rest = ROOT_COMMAND, list(arguments)
    while hasattr(command, "commands"):
        assert rest, "names no command"
        assert rest[0] in command.commands, f"{rest[0]} is no command"
        command = command.commands[rest.pop(0)]
    return command.name, parse(command, rest)


def recipe_file(text: str) -> Path:
    if text in RECIPES:
        return recipe_path(DEFAULT_RECIPE)
    return ROOT / text if (ROOT / text).exists() else recipe_path(text)


@pytest.mark.parametrize("command", OURS, ids=lambda command: command.id)
def test_commands_are_understood(command: Command) -> None:
    name, given = parsed(command.arguments)
    if needs_a_guide(command):
        return
    axes = [axis for axis in given.get("axis") or () if axis != "..."]
    if name == "sweep":
        from spiketicket.sweep.axes import make_runs, parse_axes

        sets = given["overrides"] or ()
        tables = read_tables(recipe_file(given["recipe"]))
        assert make_runs(tables, parse_axes(axes, sets), sets, zipped=given["zipped"])
    elif name == "compare":
        from spiketicket.compare import make_entries

        densities = [float(text) for text in given["density"].split(",")]
        assert make_entries(
            read_tables(recipe_file(given["recipe"])),
            given["methods"].split(","),
            densities,
            given["seeds"],
            overrides=given["overrides"] or (),
            method_options=given["options"] or (),
            budget=str(given["budget"]),
        )
    elif name == "reproduce":
        from spiketicket.reproduce.study import study_names

        assert {*(given["names"] or ())} <= {*study_names()}
    elif "recipe" in given:
        assert load_recipe(recipe_file(given["recipe"]), given["overrides"] or ())
    elif key_of(command.arguments, GROUPS) in ("data get", "data check"):
        assert parse_data(given["name"], "", given.get("settings") or ())
    elif key_of(command.arguments, GROUPS) in ("zoo path", "zoo eval"):
        assert zoo.find_ticket(given["name"])


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_have_the_options_they_name(page: str) -> None:
    for text in spans_of(page):
        command, words = ROOT_COMMAND, text.split()[1:]
        while hasattr(command, "commands") and words and words[0].isalpha():
            assert words[0] in command.commands, text
            command = command.commands[words.pop(0)]
        known = {
            "--help",
            *(option for given in getattr(command, "params", ()) for option in given.opts),
        }
        assert {re.sub("=.*", "", word) for word in words if word.startswith("-")} <= known, text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: tickets, pictures, and the folder of a run."""
    from PIL import Image

    from spiketicket.data import load_dataset, make_config

    folder = tmp_path_factory.mktemp("world")
    ticket = zoo.find_ticket("digits-binw").path
    for name in ("a", "b", "c", "my", "digits", "digits-binw-seed0"):
        shutil.copy(ticket, folder / f"{name}.ticket")
    (folder / "folder").mkdir()
    x = load_dataset(make_config("digits")).test.x
    for path, image in zip(("picture.png", "folder/1.png", "folder/2.png"), x, strict=False):
        Image.fromarray(image[0]).save(folder / path)
    with contextlib.chdir(folder):
        spike(next(command.arguments for command in OURS if command.text == TOY))
    return folder


@pytest.fixture
def place(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    made = tmp_path / "place"
    shutil.copytree(world, made)
    monkeypatch.chdir(made)
    return made


def spike(arguments: tuple[str, ...]) -> str:
    """What a command prints; it has to end well."""
    done = spiketicket(*arguments)
    assert done.exit_code == 0, (arguments, done.output)
    return done.stdout


FIRST_ON = {command.text: command.block.page for command in reversed(OURS)}
PAGES_WITH_RUNS = sorted({FIRST_ON[command.text] for command in OURS if is_run(command)})


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_RUNS)
@pytest.mark.filterwarnings("ignore")
def test_cheap_commands_run(page: str, place: Path) -> None:
    for command in OURS:
        if FIRST_ON[command.text] == command.block.page == page and is_run(command):
            words = expanded(command.text.removesuffix("&"), place, spike)
            spike(words[words.index("spiketicket") + 1 :])


# Commands of others, by their first word.

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
ELSEWHERE = {
    "gcc": "run by test_embedded.py",
    "cmake": "run by tests/engine/test_c_library.py",
    "arm-none-eabi-gcc": "as of gcc; tests/export/test_c_tickets.py has the compiler and a board",
    "arm-none-eabi-size": "the same",
    "ray": "needs a cluster; tests/sweep/test_ray.py starts one",
    "hf": "goes to the network",
}
SLURM = "a job of Slurm, which needs a cluster; its syntax is checked by test_code_blocks.py"


def in_job(command: Command) -> bool:
    return "#SBATCH" in command.block.text


@pytest.mark.parametrize(
    "command", [c for c in OTHERS if not in_job(c)], ids=lambda command: command.id
)
def test_commands_of_others(command: Command) -> None:
    for part in re.split(r"&&", command.text):
        word, *rest = part.split()
        if word == "make":
            assert rest
            assert {*rest} <= {*TARGETS}
        elif word == "pip":
            extras = re.findall(r"\[([\w,]+)\]", part)
            assert {name for names in extras for name in names.split(",")} <= EXTRAS.keys()
        elif word == "python":
            script_is_as_told(rest)
        elif word == "export":
            assert re.fullmatch(r"(\w+)=\S+", rest[0])
            assert variable_is_read(rest[0].split("=")[0])
        elif word == "git":
            assert rest[0] == "clone"
        elif word == "cd":
            assert rest
        else:
            assert word in ELSEWHERE, "no rule covers this command"


def script_is_as_told(words: list[str]) -> None:
    text = (ROOT / words[0]).read_text()
    for word in words[1:]:
        assert not word.startswith("--") or f'"{word}"' in text, f"{words[0]} has no {word}"


def variable_is_read(name: str) -> bool:
    sources = (ROOT / "src").rglob("*.py")
    return any(f'"{name}"' in path.read_text() for path in sources)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("fnid", "AssertionError"),
        ("data lst", "AssertionError"),
        ("find --sed 3", "MisuseError"),
        ("show", "MisuseError"),
        ("run my.ticket picture.png --tpo 3", "MisuseError"),
        ("pack my.ticket --signs sed -o small.ticket", "MisuseError"),
    ],
)
def test_a_mistake_is_noticed(line: str, told: str) -> None:
    try:
        parsed(tuple(line.split()))
    except (Exception, SystemExit) as error:
        assert type(error).__name__ == told
    else:
        pytest.fail("was understood")
