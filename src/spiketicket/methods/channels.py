"""Structured pruning: whole channels go, and the network is physically smaller.

Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017 (arXiv 1608.08710): train, remove
the channels whose weights have the smallest norm, train on. Which tensors a channel reaches into is
worked out by ``torch-pruning`` (Fang et al., "DepGraph", CVPR 2023, arXiv 2301.12900), and a
channel's norm is that of all its weights there.

``density`` is that of the weights, as of every method, and an upper bound: every layer keeps the
same share of its channels, the largest that leaves no more than so many weights. The result says
how many channels there are and which density that is; nothing in the ticket is masked.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import torch
import torch_pruning as tp
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods.pruning import PruningConfig, the_ticket, with_controls
from spiketicket.methods.rewinding import PRETRAINED, RewindOptions, prepare_pretrained, pretrained
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.models.prunable import prunable
from spiketicket.recipe import Recipe


class Config(PruningConfig):
    """Nothing beside the density."""

    name: Literal["channels"] = "channels"


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The dense training and the smaller network's."""
    dense = pretrained(settings=RewindOptions().model_dump())
    return with_controls(recipe, dense, the_ticket(needs=(PRETRAINED,)), dense=PRETRAINED)


def check_settings(recipe: Recipe) -> None:
    """Refuse networks whose channels cannot be set one by one.

    Raises:
        UserError: the network is one of these.
    """
    if "channels" not in type(recipe.model).model_fields:
        raise UserError(
            "its channels cannot be pruned",
            where="model.name",
            value=recipe.model.name,
            remedy="Use convnet, vgg9 or resconv6",
        )
    if getattr(recipe.model, "shortcuts", False):
        raise UserError(
            "the two convolutions that a shortcut joins keep as many channels as each other",
            where="model.shortcuts",
            value=True,
            remedy="Set model.shortcuts=false for this method",
        )


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make a training ready."""
    if stage.name == PRETRAINED:
        return prepare_pretrained(scene, RewindOptions())
    state = scene.weights(PRETRAINED)
    own = scene.model.state_dict()
    scene.model.load_state_dict({key: state[key].to(value.device) for key, value in own.items()})
    x, _ = next(iter(scene.batches.epoch(0)))
    first = next(iter(scene.layers().values()))  # it may stand behind an encoder
    example = torch.zeros((1, first.shape[1], *x.shape[-2:]), device=x.device)
    dense = sum(weight.numel() for weight in scene.layers().values())
    chain = Chain(scene.model)
    kept = channel_counts(scene, chain.widths, scene.config.density * dense)
    chain.prune(kept, example)
    config = scene.model_config.model_copy(update={"channels": kept})
    smaller = replace(scene, model_config=config)
    reached = sum(weight.numel() for weight in smaller.layers().values()) / dense
    facts = {"channels": list(kept), "density": reached, "asked": scene.config.density}
    prepared = smaller.trained(None, chain.state())
    return replace(prepared, model=config, dense_weights=dense, finish=lambda: facts)


def channel_counts(scene: Scene, widths: Sequence[int], most: float) -> tuple[int, ...]:
    """Channels of every layer: the largest equal share of ``widths`` with at most so many weights.

    Raises:
        UserError: one channel per layer is too many already; names the density of that.
    """
    shares = sorted({k / width for width in widths for k in range(1, width + 1)}, reverse=True)
    dense = weight_count(scene, widths)
    low, high = 0, len(shares) - 1  # the number of weights falls along the list
    if weight_count(scene, _counts(widths, shares[high])) > most:
        least = weight_count(scene, _counts(widths, shares[high])) / dense
        raise UserError(
            "one channel per layer has more weights than that",
            where="ticket.density",
            value=scene.config.density,
            remedy=f"The smallest feasible density here is {least:.4g}",
        )
    while low < high:
        middle = (low + high) // 2
        if weight_count(scene, _counts(widths, shares[middle])) <= most:
            high = middle
        else:
            low = middle + 1
    return _counts(widths, shares[high])


def _counts(widths: Sequence[int], share: float) -> tuple[int, ...]:
    return tuple(max(1, int(share * width + 1e-9)) for width in widths)


def weight_count(scene: Scene, channels: Sequence[int]) -> int:
    """Weights of the network with so many channels, without building it in memory."""
    config = scene.model_config.model_copy(update={"channels": tuple(channels)})
    with torch.device("meta"):
        model = scene.build(config)
    return sum(cast("Tensor", layer.weight).numel() for layer in prunable(model).values())


class Chain:
    """A network of blocks in a row as a plain module that ``torch-pruning`` can follow.

    It shares no tensor with the network; neurons are left out, as they have no parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers: list[tuple[str, nn.Module]] = []
        parts = cast("Any", model)
        blocks = [(f"features.{i}", block) for i, block in enumerate(parts.features)]
        after = [(f"hidden.{i}", block) for i, block in enumerate(getattr(parts, "hidden", ()))]
        modules = [m for name, block in blocks for m in self._block(name, block)]
        if getattr(parts, "global_pooling", False):
            modules.append(nn.AdaptiveAvgPool2d(1))
        modules.append(nn.Flatten())
        modules += [m for name, block in after for m in self._block(name, block)]
        modules.append(self._copy("classifier", parts.classifier))
        if (norm := getattr(parts, "logit_norm", None)) is not None:
            modules.append(self._copy("logit_norm", norm))
        self.net = nn.Sequential(*modules).eval()
        self.widths = [_outputs(block.synapse) for _, block in (*blocks, *after)]

    def _block(self, name: str, block: Any) -> list[nn.Module]:
        synapse = self._copy(f"{name}.synapse", block.synapse)
        norm = self._copy(f"{name}.norm", block.norm)
        return [synapse, norm, nn.ReLU(), *([nn.MaxPool2d(2)] if block.pool else [])]

    def _copy(self, name: str, module: nn.Module) -> nn.Module:
        own = copy.deepcopy(module)
        self.layers.append((name, own))
        return own

    def prune(self, kept: Sequence[int], example: Tensor) -> None:
        """Leave so many channels of every layer but the last, those of the largest norm."""
        graph = tp.DependencyGraph().build_dependency(self.net, example_inputs=example)
        importance = tp.importance.GroupMagnitudeImportance(p=2, normalizer=None)
        synapses = [m for _, m in self.layers if isinstance(m, nn.Conv2d | nn.Linear)][:-1]
        for layer, count in zip(synapses, kept, strict=True):
            prune = (
                tp.prune_conv_out_channels
                if isinstance(layer, nn.Conv2d)
                else tp.prune_linear_out_channels
            )
            group = graph.get_pruning_group(layer, prune, idxs=list(range(_outputs(layer))))
            scores = importance(group)
            least = torch.argsort(scores, stable=True)[: _outputs(layer) - count].tolist()
            if least:
                graph.get_pruning_group(layer, prune, idxs=least).prune()

    def state(self) -> dict[str, Tensor]:
        """The state of the pruned layers under the network's own names."""
        return {
            f"{name}.{key}": value
            for name, module in self.layers
            for key, value in module.state_dict().items()
        }


def _outputs(layer: nn.Module) -> int:
    return cast("Tensor", layer.weight).shape[0]
