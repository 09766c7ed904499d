"""The parts the networks are made of: synapses, BatchNorm, neuron and pooling as one block.

Data inside a network is ``[T, B, C, H, W]`` or ``[T, B, C]``. ``T`` is 1 for as long as nothing
in time has happened: a static image meets its first convolution and BatchNorm once, and is
repeated by the first neuron with a state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.machine.workers import ALONE, batch_stats
from spiketicket.neurons import lif, native
from spiketicket.neurons.lif import LIF, Kernel, resolve_kernel
from spiketicket.neurons.step import Step, as_lif
from spiketicket.recipe import NeuronConfig
from spiketicket.recipe.registry import load
from spiketicket.recipe.shapes import DataShape as DataShape  # noqa: PLC0414
from spiketicket.recipe.shapes import scaled as scaled  # noqa: PLC0414


def make_neuron(config: NeuronConfig, kernel: Kernel) -> nn.Module:
    """The neuron a recipe names; a fresh module, since every layer owns one."""
    module: nn.Module = load("neurons", config.name).make(config, kernel)
    return module


NeuronObserver = Callable[[Tensor, Callable[[], Tensor]], None]
"""Is given a neuron's output ``[T, ...]`` and a function that computes its input."""


class Watched(nn.Module):
    """Takes a neuron's place in a network that evaluates, and shows an observer what it does.

    The observer sees the output before any pooling, and what the network computes stays the same
    to the bit. The input has a T of 1 where it is the same at every step.
    """

    def __init__(self, neuron: nn.Module, observer: NeuronObserver) -> None:
        super().__init__()
        self.neuron, self.observer = neuron, observer


Pooling = Literal["max", "average", "stride"]
"""How an image is halved: 2x2 pooling of the neuron's output, or a convolution of stride 2."""


class Block(nn.Module):
    """Synapses (convolution or linear), BatchNorm, neuron and optional 2x2 pooling.

    ``forward(x, steps)``: ``x`` is ``[T, B, ...]`` with T = ``steps``, or T = 1 for input that is
    the same at every step; the output has T = ``steps`` if the neuron has a state, else as ``x``.
    The average of spikes is no spike: the layer after it sees 0, 0.25, ... 1.
    ``pool_first`` takes the maximum of the synapses' sums, before BatchNorm: a quarter of the
    neurons.
    """

    def __init__(
        self,
        synapse: nn.Conv2d | nn.Linear,
        neuron: nn.Module,
        *,
        bn_affine: bool,
        pool: bool,
        average: bool = False,
        pool_first: bool = False,
    ) -> None:
        super().__init__()
        conv = isinstance(synapse, nn.Conv2d)
        features = synapse.out_channels if isinstance(synapse, nn.Conv2d) else synapse.out_features
        self.synapse = synapse
        self.norm = (nn.BatchNorm2d if conv else nn.BatchNorm1d)(features, affine=bn_affine)
        self.neuron = neuron
        self.pool, self.average = pool, pool and average
        self.pool_first = pool and pool_first

    def sums(self, x: Tensor) -> Tensor:
        """What BatchNorm is given: the synapses' sums, pooled where the pooling comes first."""
        y = over_time(self.synapse, x)
        return over_time(_POOL, y) if self.pool_first else y

    def forward(self, x: Tensor, steps: int) -> Tensor:
        pool = self.pool and not (self.average or self.pool_first)
        spikes = norm_fire(self.sums(x), self.norm, self.neuron, steps, pool)
        return over_time(_AVERAGE, spikes) if self.average else spikes


def conv_block(
    inputs: int,
    outputs: int,
    neuron: nn.Module,
    *,
    bn_affine: bool,
    halve: bool,
    pooling: Pooling = "max",
    pool_first: bool = False,
) -> Block:
    """A 3x3 convolution as a block; ``halve`` is whether height and width are halved in it."""
    stride = 2 if halve and pooling == "stride" else 1
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return Block(
        conv,
        neuron,
        bn_affine=bn_affine,
        pool=halve and pooling != "stride",
        average=pooling == "average",
        pool_first=pool_first,
    )


def over_time(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer without a state to every step of ``[T, B, ...]`` in one call."""
    y: Tensor = layer(x.flatten(0, 1))
    return torch.unflatten(y, 0, x.shape[:2])


def norm_fire(
    y: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d, neuron: nn.Module, steps: int, pool: bool
) -> Tensor:
    """``pool(neuron(norm(y)))`` over ``[T, B, C(, H, W)]``; one fused pass for spikes on a CPU.

    BatchNorm is ``z = a*y + b`` with one scale and one shift a channel, in float32, whatever
    the kernel, so that spikes do not depend on which kernel computed them.
    """
    if isinstance(neuron, Watched):
        # The same pass without its pooling, which would hide the neuron's own spikes.
        spikes = norm_fire(y, norm, neuron.neuron, steps, False)
        neuron.observer(spikes, lambda: normalise(y, norm))
        return over_time(_POOL, spikes) if pool else spikes
    if isinstance(neuron, LIF | Step):
        kernel = resolve_kernel(neuron.kernel, y.device)
        alone = not _synced(norm)
        even = y.dim() == 5 and y.shape[-1] % 2 == 0 and y.shape[-2] % 2 == 0
        kinds = (torch.float32, torch.bfloat16)
        if kernel == "native" and alone and y.dtype in kinds and (even or not pool):
            if isinstance(neuron, Step):
                return _fused(y, norm, as_lif(neuron.config), y.shape[0], pool)
            return _fused(y, norm, neuron.config, steps, pool)
    spikes = fire(normalise(y, norm), neuron, steps).to(y.dtype)
    return over_time(_POOL, spikes) if pool else spikes


def fire(z: Tensor, neuron: nn.Module, steps: int) -> Tensor:
    """The neuron's output on ``[T, B, ...]``; a neuron with a state sees all ``steps``."""
    if isinstance(neuron, Watched):
        shown = fire(z, neuron.neuron, steps)
        neuron.observer(shown, lambda: z)
        return shown
    if isinstance(neuron, LIF) and z.shape[0] != steps:
        z = z.expand(steps, *z.shape[1:])
    spikes: Tensor = neuron(z)
    return spikes


def normalise(y: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Tensor:
    """BatchNorm of ``[T, B, C(, H, W)]`` as ``a*y + b`` in float32."""
    channels_last, count = y.movedim(2, -1).float(), y.numel() // y.shape[2]
    stats = None
    if _synced(norm):
        mean, var, count = batch_stats(channels_last)
        stats = mean, var
    elif norm.training:
        stats = _batch_stats_eager(channels_last)
    a, b = scale_and_shift(norm, stats, count)
    return (channels_last * a + b).movedim(-1, 2)


_POOL, _AVERAGE = nn.MaxPool2d(2), nn.AvgPool2d(2)


def _synced(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> bool:
    """Whether its batch is spread over several processes (``Workers.parallel``)."""
    return norm.training and getattr(norm, "workers", ALONE).count > 1


def _fused(
    y: Tensor, norm: nn.BatchNorm1d | nn.BatchNorm2d, config: lif.Config, steps: int, pool: bool
) -> Tensor:
    rows = y.movedim(2, -1).contiguous()
    *size, channels = rows.shape
    height, width = size[2:] if len(size) == 4 else (1, 1)
    shape = native.Shape(
        steps, size[1], height, width, channels, pool, int(size[0] == 1 and steps > 1)
    )
    flat = rows.view(size[0], -1, channels)
    stats = native.batch_stats(flat.detach()) if norm.training else None
    a, b = scale_and_shift(norm, stats, flat.numel() // channels)
    mean_rstd = None if stats is None else (stats[0], torch.rsqrt(stats[1] + norm.eps))
    out = native.norm_lif_pool(flat, a, b, stats=mean_rstd, shape=shape, config=config)
    if len(size) == 4:
        k = 2 if pool else 1
        return out.view(steps, size[1], height // k, width // k, channels).movedim(-1, 2)
    return out.view(steps, size[1], channels)


def _batch_stats_eager(rows: Tensor) -> tuple[Tensor, Tensor]:
    axes = tuple(range(rows.dim() - 1))
    var, mean = torch.var_mean(rows, dim=axes, correction=0)
    return mean, var


def scale_and_shift(
    norm: nn.BatchNorm1d | nn.BatchNorm2d,
    stats: tuple[Tensor, Tensor] | None = None,
    count: int = 0,
) -> tuple[Tensor, Tensor]:
    """``a`` and ``b`` of ``z = a*y + b``, float32 ``[C]``, from the running statistics.

    In training they come from ``stats``, of ``count`` values, and the running ones are moved.
    """
    if stats is None:
        mean, var = _running(norm)
    else:
        mean, var = stats
        _move_running_statistics(norm, mean.detach(), var.detach(), count)
    mean, a = mean.float(), torch.rsqrt(var.float() + norm.eps)
    if norm.affine:
        a = a * norm.weight.float()
    b = -mean * a
    return (a, b + norm.bias.float()) if norm.affine else (a, b)


@torch.no_grad()
def _move_running_statistics(
    norm: nn.BatchNorm1d | nn.BatchNorm2d, mean: Tensor, var: Tensor, count: int
) -> None:
    batches = cast("Tensor", norm.num_batches_tracked).add_(1)
    # momentum None is a plain average over all batches so far, as in torch
    share = 1.0 / float(batches) if norm.momentum is None else norm.momentum
    running_mean, running_var = _running(norm)
    unbiased = var * (count / max(count - 1, 1))
    running_mean.lerp_(mean.to(running_mean.dtype), share)
    running_var.lerp_(unbiased.to(running_var.dtype), share)


def _running(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    return cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)


def time_first(x: Tensor, timesteps: int) -> Tensor:
    """``[T, B, C, H, W]``: frames as they are, images ``[B, C, H, W]`` with a T of 1.

    Raises:
        UserError: neither four nor five axes, or frames of another number of time steps.
    """
    if x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last).unsqueeze(0)
    if x.dim() != 5:
        raise UserError("input must be [B, C, H, W] or [T, B, C, H, W]", value=tuple(x.shape))
    if x.shape[0] != timesteps:
        raise UserError(
            f"frames have {x.shape[0]} time steps, the network {timesteps}",
            where="model.timesteps",
            remedy="Make them the same",
        )
    return x
