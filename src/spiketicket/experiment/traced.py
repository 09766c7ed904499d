"""The graph of a custom network, put into its ticket once it was seen to compute the same.

A ticket of a custom network says nothing of its layers, so that only PyTorch and the network's own
code could run it. With the graph it is run by :class:`spiketicket.Engine` and exported to C. The
graph is found by calling the network, and compared on real and random inputs before it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spiketicket.engine import library, reference
from spiketicket.engine.compile import compile_ticket
from spiketicket.engine.program import Program
from spiketicket.errors import UserError
from spiketicket.experiment.exactness import compare_spikes
from spiketicket.machine.typed import typed
from spiketicket.models.custom import mean_over_time, reset_state
from spiketicket.models.of_ticket import load_into
from spiketicket.models.probe import copied
from spiketicket.models.traced import Trace, traced
from spiketicket.ticket import Ticket

Logits = Callable[[Any], Tensor]
_SAMPLES = 8
_SCALES = (1.0, 4.0)
"""Of drawn inputs, in standard deviations of the real ones: so that neurons fire, too."""
_CLOSE = 1e-4
_LONGEST = 500


@typed
def with_graph(
    ticket: Ticket,
    model: nn.Module,
    inputs: Tensor,
    *,
    logits: Logits | None = None,
    batch: int = 0,
) -> Ticket:
    """The ticket of a custom network with the graph of its layers.

    :func:`spiketicket.search` and ``Search.ticket`` put it there by themselves. Afterwards
    ``spiketicket.Engine`` runs the ticket, and the C export takes it, without the network's code.

    Args:
        ticket: of this network.
        model: the network; it is left as it is.
        inputs: a few samples as the network takes them, float, two or more: ``[B, C, H, W]``,
            ``[B, C, L]`` or ``[B, F]``, or frames ``[B, T, ...]`` or ``[T, B, ...]``.
        logits: makes ``[B, classes]`` of what the model returns, as of
            :func:`spiketicket.search`.
        batch: the axis of ``inputs`` that is the batch, 0 or 1.

    Raises:
        TicketError: the ticket is of another network.
        UserError: the network does what the engine has no form of: names the layer and what it
            does. Or the engine computes something else than the network.
    """
    if batch not in (0, 1):
        raise UserError("must be 0 or 1", where="batch", value=batch)
    if inputs.dim() < 2 or inputs.shape[batch] < 2:
        raise UserError("must be two samples or more", where="inputs", value=list(inputs.shape))
    net = load_into(copied(model), ticket).eval()
    to_logits = logits or mean_over_time

    def forward(net: nn.Module, x: Tensor) -> Tensor:
        reset_state(net)
        return to_logits(net(x))

    x = inputs.narrow(batch, 0, min(_SAMPLES, inputs.shape[batch])).detach().float()
    x = x.to(next(net.parameters()).device)
    found = traced(copied(net), x, forward, batch=batch)
    stated = _stating(ticket, graph=found.graph)
    program = compile_ticket(stated)
    _require_equal(program, found, x, batch)
    for given in _drawn(x):
        _require_equal(program, traced(copied(net), given, forward, batch=batch), given, batch)
    return stated


def with_graph_or_reason(
    ticket: Ticket, model: nn.Module, batch: tuple[Tensor, Tensor], logits: Logits
) -> Ticket:
    """As :func:`with_graph`, of a batch ``(inputs, classes)``; without a graph it says why."""
    x, y = batch
    reasons = []
    for axis in (0, 1):
        if axis < x.dim() and x.shape[axis] == len(y):
            try:
                x = torch.cat([x, x], axis) if len(y) == 1 else x
                return with_graph(ticket, model, x, logits=logits, batch=axis)
            except UserError as error:
                reasons.append(f"{error.where}: {error.what}" if error.where else error.what)
            except Exception as error:  # a search is not lost for want of a graph
                reasons.append(f"it cannot be followed ({type(error).__name__}: {error})")
    return _stating(ticket, untraced=" ".join(reasons[0].split())[:_LONGEST])


def _stating(ticket: Ticket, **said: Any) -> Ticket:
    network = {k: v for k, v in ticket.metadata["network"].items() if k not in _SAID}
    return replace(ticket, metadata={**ticket.metadata, "network": {**network, **said}})


_SAID = ("graph", "untraced")


def _drawn(x: Tensor) -> list[Tensor]:
    """Random inputs with the mean and spread of the real ones, and with more."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    mean, spread = float(x.mean()), max(float(x.std()), 1e-3)
    return [mean + scale * spread * noise for scale in _SCALES]


@np.errstate(over="ignore", invalid="ignore")
def _require_equal(program: Program, found: Trace, x: Tensor, batch: int) -> None:
    """Refuse a program that gives other logits, but for spikes at their threshold."""
    logits = found.logits.detach().cpu().float().numpy()
    given = _as_input(program, x, batch)
    ours = _run(program, given)
    size = np.maximum(1, np.abs(logits).max(axis=1, keepdims=True))
    if bool((np.abs(ours - logits) <= _CLOSE * size).all()):
        return
    spikes = {name: tensor.detach().cpu() for name, tensor in found.spikes.items()}
    agreement = compare_spikes(program, given, spikes, logits)
    if agreement.wrong or not agreement.logit_difference <= _CLOSE:  # NaN is not close
        raise UserError(
            f"the engine computes something else than the network: {agreement.wrong} of"
            f" {agreement.neuron_steps} spikes differ",
            where="network",
            value=f"logits by {agreement.logit_difference:.3g}",
            remedy="Report the network: a layer is read wrongly",
        )


def _as_input(program: Program, x: Tensor, batch: int) -> NDArray[np.float32]:
    """``x`` as the engine takes it, ``[N, frames, C, H, W]``."""
    first = x.detach().cpu().float().movedim(batch, 0).contiguous().numpy()
    shape = (program.frames, program.channels, program.height, program.width)
    return np.ascontiguousarray(first.reshape(len(first), *shape))


def _run(program: Program, x: NDArray[np.float32]) -> NDArray[np.float32]:
    if not library.available():
        return reference.run(program, x)
    with library.Net(program.to_bytes()) as net:
        return net.run(x)
