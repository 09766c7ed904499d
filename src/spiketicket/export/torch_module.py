"""A network as one Python file and its weights, which need PyTorch and nothing of this package.

    NAME.py     class Net(nn.Module): PyTorch's own operations, one a line, time steps unrolled;
                load() makes it with its weights
    NAME.npz    the weights, by name, float32

``Net`` takes what the network took, normalised images ``[batch, C, H, W]`` or frames
``[T, batch, C, H, W]``, and returns logits ``[batch, classes]``. It is made for inference: spikes
have no surrogate gradient there.
"""

from __future__ import annotations

import importlib.util
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spiketicket._files import write_bytes
from spiketicket.errors import UserError
from spiketicket.export._trace import portable, traced

_HEAD = '''"""{title}

{facts}
"""

from pathlib import Path

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
        net.load_state_dict({{name: torch.from_numpy(arrays[name]) for name in arrays.files}})
    return net.eval()
'''
_CHECKS = torch.ops.aten._assert_tensor_metadata.default


def write_module(
    model: nn.Module, example: Tensor, path: Path | str, title: str, facts: Mapping[str, str]
) -> tuple[Path, Path]:
    """Write a network as ``path`` (``.py``) and the ``.npz`` beside it; returns both.

    The written module is loaded and must give the same logits to the bit on the example.

    Args:
        model: in evaluation mode, of one input and one output; it is left as it is.
        example: an input.
        path: of the Python file.
        title: a line about the network.
        facts: shown at the top of the file, one a line.

    Raises:
        UserError: ``torch.export`` cannot follow the network, it changes its own state, or a file
            cannot be written.
    """
    path = Path(path).with_suffix(".py")
    if not path.stem.isidentifier():
        raise UserError("must be a Python name", where="name", value=path.stem)
    program = traced(model, example)
    if program.graph_signature.buffers_to_mutate:
        changed = sorted(program.graph_signature.buffers_to_mutate.values())
        raise UserError("changes its own state in forward", where=changed[0])
    tensors = _tensors(program)
    text = _HEAD.format(
        title=_plain(title), facts="\n".join(f"{_plain(k)}: {_plain(v)}" for k, v in facts.items()),
        shapes=_shapes(tensors), forward=_forward(program, tensors),
    )  # fmt: skip
    content = io.BytesIO()
    np.savez(content, **{_attribute(k): t.numpy() for k, t in tensors.values()})  # type: ignore[arg-type]
    weights = path.with_suffix(".npz")
    write_bytes(weights, content.getvalue())
    write_bytes(path, text.encode())
    _require_equal(path, model, example)
    return path, weights


def _tensors(program: torch.export.ExportedProgram) -> dict[str, tuple[str, Tensor]]:
    """Placeholder -> name and value, of those that are used."""
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
    return found


def _forward(program: torch.export.ExportedProgram, tensors: Mapping[str, Any]) -> str:
    """The body of ``forward``, without the checks of shapes that tracing leaves."""
    graph = torch.fx.Graph()
    values: dict[torch.fx.Node, torch.fx.Node] = {}
    graph.graph_copy(program.graph, values)
    output = next(n for n in program.graph.nodes if n.op == "output").args[0]
    graph.output(values[output[0]])
    for node in reversed(list(graph.nodes)):
        if node.target is _CHECKS or (node.op == "call_function" and not node.users):
            graph.erase_node(node)
    lines = graph.python_code("self").src.strip().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("def forward"))
    names = [n.name for n in graph.nodes if n.op == "placeholder"]
    inputs = [name for name in names if name not in tensors and _is_used(graph, name)]
    head = [f"    def forward(self, {', '.join(inputs)}):"]
    head += [f"        {k} = self.{_attribute(t[0])}" for k, t in tensors.items()]
    body = [re.sub(r";  [\w =]+ = None$", "", line) for line in lines[start + 1 :] if line.strip()]
    return "\n".join([*head, *(f"    {line}" for line in body)]) + "\n"


def _is_used(graph: torch.fx.Graph, name: str) -> bool:
    return any(n.name == name and n.users for n in graph.nodes)


def _shapes(tensors: Mapping[str, tuple[str, Tensor]]) -> str:
    rows = [f"        {_attribute(k)!r}: {tuple(t.shape)}," for k, t in tensors.values()]
    return "\n".join(["{", *rows, "    }"])


def _attribute(key: str) -> str:
    return re.sub(r"\W", "_", key)


def _plain(text: str) -> str:
    """Text that may stand in a docstring: a ticket's metadata is anybody's."""
    return re.sub(r"[^\x20-\x7e]|[\"\\]", " ", str(text))[:500]


@torch.no_grad()
def _require_equal(path: Path, model: nn.Module, x: Tensor) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UserError("cannot be imported", where=str(path))
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing beside the files
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    if not torch.equal(module.load()(x), portable(model)(x)):
        raise UserError("computes something else than the network", where=str(path))
