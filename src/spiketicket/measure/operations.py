"""Operations of a spiking transformer by group; :mod:`spiketicket.measure.observe` counts them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from spiketicket.measure.observe import observed
from spiketicket.models.transformer import SpikingTransformer

_ALWAYS = ("conv_pep", "encoder_linear", "attention", "head")


def count_operations(
    model: SpikingTransformer, batches: Iterable[Tensor]
) -> dict[str, dict[str, float]]:
    """Per image and group: ``dense`` (as if nothing were zero), ``acs`` and ``macs``.

    ``batches`` are inputs as the model takes them, ``[b, C, H, W]`` or ``[T, b, C, H, W]``; the
    model is run in evaluation mode, which is put back afterwards. Without encoder blocks their
    groups are 0; without a selector it is left out.
    """
    with observed(model) as seen:
        for x in batches:
            model(x)
    groups = seen.operations().groups()
    wanted = [*_ALWAYS, *(g for g in groups if g not in _ALWAYS)]
    return {g: {k: groups.get(g, {}).get(k, 0.0) for k in ("dense", "acs", "macs")} for g in wanted}
