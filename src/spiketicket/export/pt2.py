"""A network as a ``torch.export`` program, which ``torch.export.load`` reads.

Its module takes normalised images ``[batch, C, H, W]`` or frames ``[T, batch, C, H, W]``, of any
batch size, and returns logits ``[batch, classes]``. It needs PyTorch and nothing of this package.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.export.needs import foreign
from spiketicket.export.staged import staged
from spiketicket.export.trace import portable, traced
from spiketicket.machine.files import write_bytes
from spiketicket.machine.typed import typed

FACTS = "facts.json"
"""Name of the metadata among the archive's extra files."""


@typed
def write_pt2(
    model: nn.Module, example: Tensor, path: Path | str, facts: Mapping[str, Any]
) -> Path:
    """Write a network as ``path`` (``.pt2``); returns it.

    The file is loaded again and must give the same logits to the bit on the example; it is put in
    place after that.

    Args:
        model: in evaluation mode, of one input and one output; it is left as it is.
        example: an input.
        path: of the file.
        facts: JSON that goes into the archive as ``facts.json``.

    Raises:
        UserError: ``torch.export`` cannot follow the network, the file does not compute the same,
            or it cannot be written.
    """
    path = Path(path)
    path = path if path.suffix == ".pt2" else path.with_name(f"{path.name}.pt2")
    program = traced(model, example)
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", torch.fx.Graph()).nodes:
            # Paths of this machine: they say nothing of the network.
            node.meta.pop("stack_trace", None)
    with staged(path) as folder:
        made, content = folder / path.name, io.BytesIO()
        with foreign("torch.export.save cannot write the network"):
            torch.export.save(program, content, extra_files={FACTS: json.dumps(dict(facts))})
        # Not by PyTorch: on a full disk it ends the process.
        write_bytes(made, content.getvalue(), "path")
        _require_equal(made, model, example, path)
    return path


@torch.no_grad()
def _require_equal(made: Path, model: nn.Module, x: Tensor, target: Path) -> None:
    """Raise a UserError about ``target`` unless the file ``made`` gives the model's logits."""
    with foreign("torch.export.load cannot read what was written", where=str(target)):
        found = torch.export.load(made).module()(x)
    if not torch.equal(found, portable(model)(x)):
        raise UserError("computes something else than the network", where=str(target))
