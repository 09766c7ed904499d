"""Networks in the memory of a Python program, as ``spiketicket.find(model=...)`` is given them."""

from __future__ import annotations

from typing import Final

from torch import nn

from spiketicket.errors import UserError
from spiketicket.models.probe import copied

NETWORK: Final = f"{__name__}:network"
"""What a recipe calls them."""
_KNOWN: Final[dict[str, nn.Module]] = {}


def keep(key: str, net: nn.Module) -> None:
    """Let :func:`network` find a network by its key."""
    _KNOWN[key] = net


def network(key: str, timesteps: int) -> nn.Module:
    """A copy of the network of this key, with so many time steps where it says that it has any.

    Raises:
        UserError: this process was not given it.
    """
    if key not in _KNOWN:
        raise UserError(
            "this network was in the memory of a Python program, and is not here",
            where="model.options.key",
            value=key,
            remedy="Call spiketicket.find(model=..., train=..., test=...) with it again, or leave"
            " the network out: a ticket holds its layers",
        )
    made = copied(_KNOWN[key])
    if hasattr(made, "timesteps"):
        made.timesteps = timesteps  # type: ignore[assignment]
    return made
