"""A network as one graph of PyTorch's own operations, by ``torch.export``."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.export.needs import foreign
from spiketicket.models.patches import PlainRanking
from spiketicket.neurons.lif import LIF
from spiketicket.neurons.step import Step

LARGEST_BATCH = 65536


def traced(
    model: nn.Module, example: Tensor, batch_axis: int | None = None
) -> torch.export.ExportedProgram:
    """The program of a network in evaluation mode, for batches of any size.

    Args:
        model: takes one tensor and returns one; it is left as it is.
        example: an input; its batch may have any size.
        batch_axis: of the input; None is 1 for frames ``[T, B, C, H, W]``, else 0.

    Raises:
        UserError: ``torch.export`` cannot follow the network, or it draws at random.
    """
    _refuse_draws(model)
    axis = (1 if example.dim() == 5 else 0) if batch_axis is None else batch_axis
    # One sample would be taken for a fixed size.
    first = example.narrow(axis, 0, 1)
    example = torch.cat([first, first], axis)
    sizes = {axis: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)}
    what, name = "torch.export cannot follow the network", type(model).__name__
    # Any error of the user's own forward may come out here.
    with foreign(what, value=name), torch.no_grad():
        return torch.export.export(
            portable(model), (example,), dynamic_shapes=(sizes,), strict=False
        )


def _refuse_draws(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, PlainRanking) and module.kind == "random":
            raise UserError(
                "draws its patches anew for every image, which a fixed graph cannot",
                where="model.ranking",
                value=module.kind,
                remedy='Use a ticket of ranking "fixed"',
            )


def portable(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose neurons are computed by PyTorch, not by the C kernel."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, LIF | Step):
            module.kernel = "eager"
    return model
