"""Encoder blocks of the spiking transformers, over tokens ``[T, B, N, D]``.

Spikformer (Zhou et al., ICLR 2023), no softmax, q, k and v are spikes, residuals add spikes:

    attention(x) = neuron(BN(Linear(neuron_0.5(scale * (q k^T) v))))

Spike-driven Transformer v1 (Yao et al., NeurIPS 2023), membrane shortcuts: a neuron stands before
every linear layer, so that each of them sees binary spikes, and residuals add real numbers:

    attention(x) = BN(Linear(q * neuron(sum_n k * v)))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.models.blocks import fire, norm_fire, normalise

MakeNeuron = Callable[[], nn.Module]


class SpikingProduct(nn.Module):
    """``scale * (q k^T) v`` over heads, without softmax, or standard attention.

    A module of its own without parameters, so that its operations can be counted from outside.
    Fewer tokens mean less drive unless ``scale`` makes up for it.
    """

    def __init__(self, scale: float, kind: Literal["spiking", "softmax"]) -> None:
        super().__init__()
        self.scale, self.kind = scale, kind

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.kind == "softmax":
            weights = torch.softmax((q @ k.transpose(-1, -2)).float() / q.shape[-1] ** 0.5, -1)
            mixed: Tensor = weights.to(v.dtype) @ v
        elif q.shape[-2] > q.shape[-1]:
            # the products are sums of spikes: whole numbers, so the order changes nothing
            mixed = q @ (k.transpose(-1, -2) @ v) * self.scale
        else:
            mixed = (q @ k.transpose(-1, -2)) @ v * self.scale
        return mixed


class SpikeDrivenProduct(nn.Module):
    """``scale * sum_n k * v``, then handed to a neuron whose spikes mask ``q``."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, k: Tensor, v: Tensor) -> Tensor:
        summed: Tensor = (k * v).sum(2, keepdim=True) * self.scale
        return summed


class TokenLinear(nn.Module):
    """Linear, BatchNorm and (if wanted) a neuron over ``[T, B, N, D]``."""

    def __init__(
        self, inputs: int, outputs: int, neuron: nn.Module | None, *, bn_affine: bool, bias: bool
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.norm = nn.BatchNorm1d(outputs, affine=bn_affine)
        self.neuron = neuron

    def forward(self, x: Tensor, steps: int) -> Tensor:
        y: Tensor = self.linear(x)
        rows = y.flatten(1, 2)
        if self.neuron is None:
            # float32 whatever the precision: residuals add it up over all blocks
            out = normalise(rows, self.norm)
        else:
            out = norm_fire(rows, self.norm, self.neuron, steps, False)
        return torch.unflatten(out, 1, y.shape[1:3])


class SpikingBlock(nn.Module):
    """One Spikformer block; ``softmax`` replaces the scaled product by standard attention."""

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        neuron: MakeNeuron,
        attention_neuron: MakeNeuron,
        *,
        bn_affine: bool,
        qkv_bias: bool,
        kind: Literal["spiking", "softmax"],
        scale: float,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.proj = (
            TokenLinear(dim, dim, neuron(), bn_affine=bn_affine, bias=bias)
            for bias in (qkv_bias, qkv_bias, qkv_bias, True)
        )
        self.product = SpikingProduct(scale, kind)
        self.attention_neuron = attention_neuron()
        self.fc1 = TokenLinear(dim, hidden, neuron(), bn_affine=bn_affine, bias=True)
        self.fc2 = TokenLinear(hidden, dim, neuron(), bn_affine=bn_affine, bias=True)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        x = x + self._attention(x, steps)
        out: Tensor = x + self.fc2(self.fc1(x, steps), steps)
        return out

    def _attention(self, x: Tensor, steps: int) -> Tensor:
        q, k, v = (self._heads(layer(x, steps)) for layer in (self.q, self.k, self.v))
        mixed = self.product(q, k, v).transpose(2, 3).flatten(3)
        spikes = fire(mixed.contiguous(), self.attention_neuron, steps).to(x.dtype)
        out: Tensor = self.proj(spikes, steps)
        return out

    def _heads(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(2, 3)

    def attention_columns(self, x: Tensor, steps: int) -> Tensor:
        """Column sums of ``Q K^T`` over queries, heads and time: ``[B, N]``."""
        q, k = self.q(x, steps).float(), self.k(x, steps).float()
        columns: Tensor = (k * q.sum(2, keepdim=True)).sum(dim=(0, 3))
        return columns


class SpikeDrivenBlock(nn.Module):
    """One Spike-driven Transformer block."""

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        neuron: MakeNeuron,
        attention_neuron: MakeNeuron,
        *,
        bn_affine: bool,
        qkv_bias: bool,
        kind: Literal["spiking", "softmax"],
        scale: float,
    ) -> None:
        super().__init__()
        if kind != "spiking":
            raise UserError(
                "this network's attention has no queries times keys to put through a softmax",
                where="model.attention",
                value=kind,
                remedy='Use "spiking", or spikformer',
            )
        del heads  # k * v is element by element: heads do not meet
        self.product = SpikeDrivenProduct(scale)
        self.first, self.hidden_neuron, self.input_neuron = neuron(), neuron(), neuron()
        self.q, self.k, self.v = (
            TokenLinear(dim, dim, neuron(), bn_affine=bn_affine, bias=qkv_bias) for _ in range(3)
        )
        self.attention_neuron = attention_neuron()
        self.proj = TokenLinear(dim, dim, None, bn_affine=bn_affine, bias=True)
        self.fc1 = TokenLinear(dim, hidden, None, bn_affine=bn_affine, bias=True)
        self.fc2 = TokenLinear(hidden, dim, None, bn_affine=bn_affine, bias=True)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        s = fire(x, self.first, steps)
        q, k, v = (layer(s, steps) for layer in (self.q, self.k, self.v))
        mask = fire(self.product(k, v), self.attention_neuron, steps).to(q.dtype)
        x = x + self.proj(q * mask, steps)
        h = self.fc1(fire(x, self.input_neuron, steps), steps)
        out: Tensor = x + self.fc2(fire(h, self.hidden_neuron, steps), steps)
        return out

    def attention_columns(self, x: Tensor, steps: int) -> Tensor:
        """How much a token adds to the attention's sum ``k * v``: ``[B, N]``."""
        s = fire(x, self.first, steps)
        columns: Tensor = (self.k(s, steps) * self.v(s, steps)).float().sum(dim=(0, 3))
        return columns
