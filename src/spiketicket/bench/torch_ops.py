"""A program's ops beside layers, neurons and pooling, in plain PyTorch.

Registers are ``[S, N, C, H, W]``, or ``[S, N, C]`` for one position; scores ``[N, tokens]`` and ids
int64 ``[N, k]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spiketicket.engine import ops
from spiketicket.engine.ops import Op, ScoreKind
from spiketicket.engine.program import Value

Registers = dict[int, Tensor]
TokenOp = Callable[[Any, list[Tensor], Value], Tensor]


def _rows(x: Tensor) -> Tensor:
    """``[S, N, C, positions]``."""
    return x.flatten(3) if x.dim() == 5 else x.unsqueeze(-1)


def _planes(x: Tensor, value: Value) -> Tensor:
    """``[S, N, C, positions]`` in the shape of a register."""
    return x.squeeze(-1) if value.positions == 1 else x.unflatten(-1, value.shape[2:])


def _add(op: ops.Add, given: list[Tensor], out: Value) -> Tensor:
    return given[0] + given[1]


def _mean(op: ops.Mean, given: list[Tensor], out: Value) -> Tensor:
    axes = ([0] if op.time else []) + ([3] if op.positions else [])
    return _planes(_rows(given[0]).mean(axes, keepdim=True), out)


def _attention(op: ops.Attention, given: list[Tensor], out: Value) -> Tensor:
    q, k, v = (_rows(x).unflatten(2, (op.heads, -1)) for x in given)
    if q.shape[-1] > q.shape[-2]:
        mixed = (v @ k.transpose(-1, -2)) @ q
    else:
        mixed = v @ (k.transpose(-1, -2) @ q)
    return _planes((mixed * op.scale).flatten(2, 3), out)


def _token_sum(op: ops.TokenSum, given: list[Tensor], out: Value) -> Tensor:
    return _rows(given[0] * given[1]).sum(-1) * op.scale


def _mask(op: ops.Mask, given: list[Tensor], out: Value) -> Tensor:
    return _planes(_rows(given[0]) * _rows(given[1]), out)


def _score(op: ops.Score, given: list[Tensor], out: Value) -> Tensor:
    rows = [_rows(x) for x in given]
    if op.kind == ScoreKind.FIRING_RATE:
        return rows[0].mean((0, 2))
    if op.kind == ScoreKind.EMBEDDING_NORM:
        return rows[0].mean(0).square().sum(1).sqrt()
    if op.kind == ScoreKind.PIXEL_ENERGY:
        return _pixel_energy(op, given[0])
    first, second = rows
    if op.kind == ScoreKind.ATTENTION_COLUMNS:
        first = first.sum(-1, keepdim=True)
    return (first * second).sum((0, 2))


def _pixel_energy(op: ops.Score, x: Tensor) -> Tensor:
    square = (x - x.mean((-2, -1), keepdim=True)).square().mean(0).sum(1)
    high, wide = x.shape[-2] // op.rows, x.shape[-1] // op.columns
    cells = square.unflatten(2, (op.columns, wide)).unflatten(1, (op.rows, high))
    energy: Tensor = cells.mean((2, 4)).flatten(1)
    return energy


def _top_k(op: ops.TopK, given: list[Tensor], out: Value) -> Tensor:
    order = torch.sort(given[0], dim=1, descending=True, stable=True).indices
    return order[:, : op.k].sort(dim=1).values


def _const_ids(op: ops.ConstIds, given: list[Tensor], out: Value) -> Tensor:
    return torch.tensor(op.ids.tolist()).unsqueeze(0)


def _gather(op: ops.Gather, given: list[Tensor], out: Value) -> Tensor:
    x, ids = _rows(given[0]), given[1]
    index = ids[None, :, None, :].expand(*x.shape[:3], -1)
    return _planes(x.gather(3, index), out)


def _zero_fill(op: ops.ZeroFill, given: list[Tensor], out: Value) -> Tensor:
    x, ids = given
    kept = torch.zeros(len(ids), op.rows * op.columns).scatter(1, ids, 1.0)
    cells = kept.view(-1, 1, op.rows, op.columns)
    high, wide = x.shape[-2] // op.rows, x.shape[-1] // op.columns
    return x * cells.repeat_interleave(high, 2).repeat_interleave(wide, 3)


TOKEN_OPS: dict[type[Op], TokenOp] = {
    ops.Add: _add,
    ops.Mean: _mean,
    ops.Attention: _attention,
    ops.TokenSum: _token_sum,
    ops.Mask: _mask,
    ops.Score: _score,
    ops.TopK: _top_k,
    ops.ConstIds: _const_ids,
    ops.Gather: _gather,
    ops.ZeroFill: _zero_fill,
}
