"""Bad input is a ValueError, and no handler of other ValueErrors takes it for one of them."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import spiketicket
from spiketicket.errors import UserError
from spiketicket.experiment.record import check_record
from spiketicket.experiment.results import read_predictions
from spiketicket.machine.arrays import read_arrays
from spiketicket.machine.bounded import open_regular
from spiketicket.machine.files import read_json
from spiketicket.recipe import load_recipe

SOURCE = Path(spiketicket.__file__).parent
TREES = {path: ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
OURS = ("UserError", "TicketError", "RecipeError", "ExportError", "ProgramError", "InUseError")


def test_bad_input_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such recipe file"):
        load_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "read", [open_regular, read_json, load_recipe, check_record, read_predictions, read_arrays]
)
def test_a_reader_passes_on_why_a_file_is_not_read(read: object, tmp_path: Path) -> None:
    assert callable(read)
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(UserError) as error:
        read(pipe)
    assert str(error.value) == f"{pipe}: is not a file"


def _module(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _raisers() -> set[str]:
    """Functions that say, or that are seen, to raise one of this package's errors."""
    found = set()
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                told = ast.get_docstring(node) or ""
                if any(f"{name}:" in told for name in OURS) or list(_raised(node.body)):
                    found.add(f"{_module(path)}.{node.name}")
    return found


def _raised(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Raise) and ast.unparse(node).split("(")[0][6:] in OURS:
                yield ast.unparse(node)


def _called(body: list[ast.stmt], path: Path, tree: ast.Module) -> Iterator[str]:
    """Full names of what is called, where an import or the module itself tells them."""
    known = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    known |= {n.name: f"{_module(path)}.{n.name}" for n in tree.body if hasattr(n, "name")}
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                first, _, rest = ast.unparse(node.func).partition(".")
                yield ".".join(filter(None, (known.get(first, first), rest)))


@pytest.mark.slow
def test_who_handles_value_errors_lets_those_of_this_package_pass() -> None:
    raisers, wrong = _raisers(), []
    assert "spiketicket.machine.bounded.read_regular" in raisers
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Try):
                continue
            for handler in node.handlers:
                kinds = ast.unparse(handler.type) if handler.type else ""
                if "UserError" in kinds:
                    break
                if "ValueError" in kinds:
                    risky = [*_raised(node.body), *(raisers & {*_called(node.body, path, tree)})]
                    wrong += [f"{path}:{handler.lineno}: {name}" for name in risky]
    assert wrong == []
