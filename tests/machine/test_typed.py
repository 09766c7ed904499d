"""An argument of a wrong type is refused with words, before anything is done."""

import ast
import importlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

import spiketicket
from spiketicket.compare import make_entries
from spiketicket.events import read_events
from spiketicket.experiment.measure import measure_run, measure_ticket
from spiketicket.export.onnx import write_onnx
from spiketicket.machine.typed import need, typed
from spiketicket.recipe.registry import SHIPPED
from spiketicket.report.writing import write_report
from spiketicket.sweep import run_runs
from spiketicket.ticket.zoo import find_ticket

SOURCE = Path(spiketicket.__file__).parent
RECIPE = spiketicket.load_recipe(SHIPPED / "digits-binw.toml")
PATH = find_ticket("digits-binw").path
TICKET = spiketicket.Ticket.load(PATH)
NET = nn.Linear(2, 2)
READ = "Read it with spiketicket.Ticket.load(path)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: spiketicket.find(b"a.toml"),
            "`recipe`: must be a Recipe or a mapping or a text or a path or None, not a"
            " bytes (got b'a.toml'). Read it with spiketicket.load_recipe(path)",
        ),
        (
            lambda: spiketicket.find(RECIPE, seeds="3"),
            "`seeds`: must be a whole number, not a str (got '3'). Give it without quotes",
        ),
        (
            lambda: spiketicket.find(RECIPE, seeds=True),
            "`seeds`: must be a whole number, not a bool (got True)",
        ),
        (
            lambda: spiketicket.find(RECIPE, options="n=1"),
            "`options`: must be a mapping or None, not a str (got 'n=1')",
        ),
        (
            lambda: spiketicket.train_dense(None),
            "`recipe`: must be a Recipe or a mapping or a text or a path (got None). Read it with"
            " spiketicket.load_recipe(path)",
        ),
        (
            lambda: spiketicket.search(None, []),
            "`model`: must be a PyTorch module (got None)",
        ),
        (
            lambda: spiketicket.search(NET, [], density="0.5"),
            "`density`: must be a number, not a str (got '0.5'). Give it without quotes",
        ),
        (
            lambda: spiketicket.load_recipe("a.toml", "seed=1"),
            "`overrides`: must be a list of texts or a mapping, not a str (got 'seed=1')",
        ),
        (lambda: spiketicket.evaluate_ticket(3), "`ticket`: must be a Ticket or a text or a path"),
        (lambda: spiketicket.from_ticket(NET), "`ticket`: must be a Ticket or a text or a path, n"),
        (lambda: spiketicket.load_into(TICKET, NET), "`model`: must be a PyTorch module, not a T"),
        (lambda: spiketicket.load_into(NET, 3), f"not an int (got 3). {READ}"),
        (lambda: spiketicket.remove_masks(3), "`model`: must be a PyTorch module, not an int"),
        (lambda: spiketicket.reset_state(3), "`model`: must be a PyTorch module, not an int"),
        (lambda: spiketicket.read_metadata(3), "`path`: must be a text or a path, not an int"),
        (lambda: spiketicket.Ticket.load(None), "`path`: must be a text or a path (got None)"),
        (lambda: TICKET.save(3), "`path`: must be a text or a path, not an int (got 3)"),
        (lambda: spiketicket.Ticket("x"), "`layers`: must be a list of TicketLayers, not a str"),
        (lambda: spiketicket.Ticket((), []), "`tensors`: must be a mapping, not a list (got [])"),
        (lambda: spiketicket.Ticket(("a",)), "`layers`: must be a list of TicketLayers, not a t"),
        (lambda: spiketicket.Engine(3), "`ticket`: must be a Ticket or a text or a path, not an"),
        (lambda: spiketicket.Engine(PATH, threads="2"), "`threads`: must be a whole number, not"),
        (lambda: spiketicket.Engine(PATH, tune="yes"), "`tune`: must be True or False or a numpy"),
        (
            lambda: spiketicket.Engine(PATH).run([[0.5]]),
            "`x`: must be a numpy array, not a list (got [[0.5]]). Use numpy.asarray",
        ),
        (lambda: measure_ticket(TICKET), "`path`: must be a path or a text, not a Ticket"),
        (lambda: measure_run(None), "`folder`: must be a path or a text (got None)"),
        (lambda: run_runs([RECIPE]), "`runs`: must be a list of Runs, not a list"),
        (lambda: make_entries({}, "imp", [0.5], 1), "`methods`: must be a list of texts, not a s"),
        (lambda: write_report("runs/a", Path("a.html")), "`runs`: must be a list of"),
        (lambda: write_onnx(TICKET, torch.zeros(1), "a"), "`model`: must be a PyTorch module, n"),
        (lambda: write_onnx(NET, np.zeros(1), "a"), "Use torch.as_tensor"),
        (lambda: read_events(b"a"), "`path`: must be a text or a path, not a bytes (got b'a')"),
    ],
)
def test_a_wrong_type(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError) as error:
        call()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        (np.int64(3), int, True),
        (np.float32(0.5), float, True),
        (1, float, True),
        (1.0, int, False),
        (True, float, False),
        (np.True_, int, False),
        (["a"], tuple[str, ...], True),
        ([1], Sequence[str], False),
        ("ab", Sequence[str], False),
        (np.zeros(2), tuple[int, int], True),
        ({}, Mapping[str, int], True),
        (print, Callable[[int], int], True),
        (3, Callable[[int], int], False),
        ("b", Literal["a"], True),
        (3, Literal["a"] | None, False),
        (None, Literal["a"] | None, True),
        ("a", Path, False),
        (Path("a"), str | Path, True),
        ({1: 2}, Any, True),
        (np.memmap, type, True),
    ],
    ids=str,
)
def test_what_fits(value: object, kind: object, fits: bool) -> None:
    if fits:
        need("x", value, kind)
    else:
        with pytest.raises(TypeError, match="`x`: must be "):
            need("x", value, kind)


def test_a_device_of_torch_is_one() -> None:
    need("device", torch.device("cpu"), str)


def test_python_says_what_is_missing() -> None:
    with pytest.raises(TypeError, match=r"load_recipe\(\) missing 1 required positional argument"):
        spiketicket.load_recipe()
    with pytest.raises(TypeError, match="unexpected keyword argument 'seeds_'"):
        spiketicket.find(RECIPE, seeds_=1)


def typed_functions() -> Iterator[Callable[..., object]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            for part in (node, *(node.body if isinstance(node, ast.ClassDef) else ())):
                if isinstance(part, ast.FunctionDef) and "typed" in map(
                    ast.unparse, part.decorator_list
                ):
                    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
                    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
                    owner = getattr(module, node.name) if part is not node else module
                    if hasattr(owner, part.name):
                        yield inspect.unwrap(getattr(owner, part.name))


@pytest.mark.slow
def test_annotations_of_public_functions_can_be_read() -> None:
    """Names that are imported for the type checker alone could not."""
    found = list(typed_functions())
    assert len(found) > 30
    for function in found:
        assert typing.get_type_hints(function)


def test_every_public_function_is_typed() -> None:
    for name in spiketicket.__all__:
        public = getattr(spiketicket, name)
        if inspect.isfunction(public):
            assert hasattr(public, "__wrapped__"), name


def test_it_is_the_function_itself_that_is_called() -> None:
    @typed
    def add(a: int, *rest: str, b: float = 1.0, **more: int) -> float:
        return a + b + len(rest) + len(more)

    assert add(1, 2, b=2, c="d") == 5


def test_a_scalar_of_numpy_is_given_on_as_pythons_own() -> None:
    @typed
    def given(count: int, share: float = 0.0, on: bool = False, kind: Literal["a"] = "a") -> list:
        return [count, share, on, kind]

    found = given(np.int64(3), share=np.float32(0.5), on=np.True_, kind=np.str_("a"))
    assert found == [3, 0.5, True, "a"]
    assert [type(value) for value in found] == [int, float, bool, str]
