"""A network as one Python file and its weights, which need PyTorch and nothing of this package.

    NAME.py     class Net(nn.Module): PyTorch's own operations, one a line, time steps unrolled;
                load() makes it with its weights
    NAME.npz    the weights and constants, by name

``Net`` takes what the network took, normalised images ``[batch, C, H, W]`` or frames
``[T, batch, C, H, W]``, and returns logits ``[batch, classes]``. It is made for inference: spikes
have no surrogate gradient there.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import keyword
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from spiketicket.errors import UserError, argument
from spiketicket.export.inputs import plain_text
from spiketicket.export.staged import staged
from spiketicket.export.trace import portable, traced
from spiketicket.machine.files import write_bytes
from spiketicket.machine.typed import typed

_HEAD = '''"""{title}

{facts}
"""

{imports}from pathlib import Path

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    """{title}"""

    SHAPES = {shapes}

    def __init__(self):
        super().__init__()
        for name, shape in self.SHAPES.items():
            self.register_buffer(name, torch.zeros(shape))

{forward}

def load(path=None):
    """The network with its weights, in evaluation mode."""
    net, path = Net(), path or Path(__file__).with_suffix(".npz")
    with np.load(path, allow_pickle=False) as arrays:
        state = {{name: torch.from_numpy(arrays[name]) for name in arrays.files}}
    net.load_state_dict(state, assign=True)
    return net.eval()
'''
_CHECKS = torch.ops.aten._assert_tensor_metadata.default
_TAKEN = {"SHAPES", "file", "allow_pickle"}
"""Names that no weight can have: of the class, and of arguments of ``np.savez``."""
_GLOBALS = {
    "device": "from torch import device",
    "inf": "from math import inf",
    "nan": "from math import nan",
    "NoneType": "from types import NoneType",
}


@typed
def write_module(
    model: nn.Module, example: Tensor, path: Path | str, title: str, facts: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Write a network as ``path`` (``.py``) and the ``.npz`` beside it; returns both.

    The written module is loaded and must give the same logits to the bit on the example; the files
    are put in place after that.

    Args:
        model: in evaluation mode, of one input and one output; it is left as it is.
        example: an input.
        path: of the Python file.
        title: a line about the network.
        facts: shown at the top of the file, one a line.

    Raises:
        UserError: ``torch.export`` cannot follow the network, it changes its own state, the made
            module does not compute the same, or a file cannot be written.
    """
    path = Path(path).with_suffix(".py")
    if not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        remedy = "Choose another"
        raise UserError(
            "must be a Python name", where=argument("name"), value=path.stem, remedy=remedy
        )
    program = traced(model, example)
    if program.graph_signature.buffers_to_mutate:
        changed = sorted(program.graph_signature.buffers_to_mutate.values())
        raise UserError("changes its own state in forward", where=changed[0])
    tensors = _tensors(program)
    imports, forward = _forward(program, tensors)
    shown = "\n".join(f"{_plain(k)}: {_plain(plain_text(v))}" for k, v in facts.items())
    text = _HEAD.format(
        title=_plain(title),
        facts=shown,
        imports=imports,
        shapes=_shapes(tensors),
        forward=forward,
    )
    content = io.BytesIO()
    np.savez(content, **{name: t.numpy() for name, t in tensors.values()})  # type: ignore[arg-type]
    weights = path.with_suffix(".npz")
    with staged(path, weights) as folder:
        write_bytes(folder / weights.name, content.getvalue(), "path")
        write_bytes(folder / path.name, text.encode(), "path")
        _require_equal(folder / path.name, model, example, path)
    return path, weights


def _tensors(program: torch.export.ExportedProgram) -> dict[str, tuple[str, Tensor]]:
    """Placeholder -> name in the written file and value, of those that are used."""
    used = {n.name for n in program.graph.nodes if n.op == "placeholder" and n.users}
    found = {}
    for spec in program.graph_signature.input_specs:
        name = getattr(spec.arg, "name", "")
        if spec.target is None or name not in used:
            continue
        known = program.state_dict if spec.target in program.state_dict else program.constants
        value = known[spec.target]
        if not isinstance(value, Tensor):
            raise UserError("is no tensor", where=spec.target, value=type(value).__name__)
        found[name] = (spec.target, value.detach().cpu().contiguous())
    names = _names(key for key, _ in found.values())
    return {name: (names[key], value) for name, (key, value) in found.items()}


def _forward(
    program: torch.export.ExportedProgram, tensors: Mapping[str, tuple[str, Tensor]]
) -> tuple[str, str]:
    """The imports that ``forward`` needs, and its text, without the checks of shapes that tracing
    leaves.
    """
    graph = _cleaned(program)
    code = graph.python_code("self")
    function = cast("ast.FunctionDef", ast.parse(code.src).body[0])
    # Where a name means something to Python, the code has another one than the graph.
    arguments = [a.arg for a in function.args.args[1:]]
    placeholders = [n.name for n in program.graph.nodes if n.op == "placeholder"]
    called = dict(zip(placeholders, arguments, strict=True))
    inputs = [called[name] for name in program.graph_signature.user_inputs if name in called]
    head = [f"    def forward(self, {', '.join(inputs)}):"]
    head += [f"        {called[k]} = self.{name}" for k, (name, _) in tensors.items()]
    lines = code.src.strip().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("def forward"))
    body = [re.sub(r";  [\w =]+ = None$", "", line) for line in lines[start + 1 :] if line.strip()]
    used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    imports = _imports({k: v for k, v in code.globals.items() if k in used})
    return imports, "\n".join([*head, *(f"    {line}" for line in body)]) + "\n"


def _cleaned(program: torch.export.ExportedProgram) -> torch.fx.Graph:
    graph = torch.fx.Graph()
    values: dict[torch.fx.Node, torch.fx.Node] = {}
    graph.graph_copy(program.graph, values)
    output = next(n for n in program.graph.nodes if n.op == "output").args[0]
    graph.output(values[output[0]])
    for node in reversed(list(graph.nodes)):
        if node.target is _CHECKS or (node.op == "call_function" and not node.users):
            graph.erase_node(node)
    return graph


def _imports(names: Mapping[str, Any]) -> str:
    """Lines that give the code its global names, from PyTorch and Python alone."""
    lines = []
    for name, value in sorted(names.items()):
        module = getattr(value, "__module__", "")
        if name in _GLOBALS:
            lines.append(f"{_GLOBALS[name]}\n")
        elif module in ("math", "operator", "_operator"):
            lines.append(f"from {module.strip('_')} import {value.__name__} as {name}\n")
        elif name != "torch":
            raise UserError("the network calls what is not PyTorch's", where="export", value=name)
    return "".join(lines)


def _shapes(tensors: Mapping[str, tuple[str, Tensor]]) -> str:
    rows = [f"        {name!r}: {tuple(t.shape)}," for name, t in tensors.values()]
    return "\n".join(["{", *rows, "    }"])


def _names(keys: Iterable[str]) -> dict[str, str]:
    """Key of a state -> an attribute's name; no two are the same."""
    found: dict[str, str] = {}
    taken = set(_TAKEN)
    empty = nn.Module()
    for key in keys:
        plain = re.sub(r"\W", "_", key, flags=re.ASCII)
        # An underscore first may be a name of nn.Module's own, or be mangled in a class.
        usable = plain.isidentifier() and not plain.startswith("_") and not keyword.iskeyword(plain)
        if not usable or hasattr(empty, plain):
            plain = f"t_{plain}"
        name, count = plain, 1
        while name in taken:
            count += 1
            name = f"{plain}_{count}"
        found[key] = name
        taken.add(name)
    return found


def _plain(text: str) -> str:
    """Text that may stand in a docstring: a ticket's metadata is anybody's."""
    return re.sub(r"[^\x20-\x7e]|\\", " ", text.replace('"', "'"))[:500]


@torch.no_grad()
def _require_equal(path: Path, model: nn.Module, x: Tensor, target: Path) -> None:
    """Raise a UserError about ``target`` unless the file at ``path`` gives the model's logits."""
    try:
        found = _loaded(path)(x)
    except Exception as error:
        # The code is made: any error in it is one of making it.
        what = f"the module that was made does not run: {type(error).__name__}: {error}"
        raise UserError(what[:300], where=str(target)) from error
    if not torch.equal(found, portable(model)(x)):
        raise UserError("computes something else than the network", where=str(target))


def _loaded(path: Path) -> nn.Module:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UserError("cannot be imported", where=str(path))
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing beside the files
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    net: nn.Module = module.load()
    return net
