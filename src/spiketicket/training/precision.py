"""What ``train.precision = "auto"`` is: a rule by the processor and the width of the network.

bfloat16 where both hold, float32 otherwise:

* the device multiplies bfloat16 matrices itself: a CPU with AVX512-BF16 or AMX, or a GPU that
  PyTorch says computes in bfloat16;
* the widest layer below the classifier has at least :data:`WIDE` outputs. On narrower ones
  bfloat16 saves next to nothing: ``benchmarks/precision.py`` measures it.

A custom network, whose layers are not known before it is built, is computed in float32.
"""

from __future__ import annotations

from typing import Final, Literal

import torch

from spiketicket.machine import processor
from spiketicket.recipe import Recipe
from spiketicket.recipe.shapes import DataShape
from spiketicket.recipe.weight_shapes import weight_shapes

Precision = Literal["fp32", "bf16"]
WIDE: Final = 64
_ANY: Final = DataShape(channels=1, height=1024, width=1024, classes=2)
"""How many outputs a hidden layer has does not depend on the data."""


def resolved(recipe: Recipe, device: str) -> Precision:
    """What a recipe's nets are trained in on this machine's ``device``, ``cpu`` or ``cuda``."""
    asked = recipe.train.precision
    if asked != "auto":
        return asked
    return "bf16" if _multiplies(device) and widest(recipe) >= WIDE else "fp32"


def with_precision(recipe: Recipe, device: str) -> Recipe:
    """The recipe that asks for what :func:`resolved` says; its hash may be another one."""
    if recipe.train.precision != "auto":
        return recipe
    train = recipe.train.model_copy(update={"precision": resolved(recipe, device)})
    return recipe.model_copy(update={"train": train})


def widest(recipe: Recipe) -> int:
    """Outputs of the widest layer; 0 where they are not known."""
    model = recipe.model
    shapes = weight_shapes(model.name, model.model_dump(mode="json"), _ANY) or ()
    return max((shape[0] for _, shape in shapes), default=0)


def _multiplies(device: str) -> bool:
    if device == "cpu":
        return processor.multiplies_bfloat16()
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
