"""A NIR graph read back by other libraries, spike for spike against the network it came from.

A reader rounds elsewhere than the network does: BatchNorm is folded, and ``decay * V`` may be
computed as ``V - V / tau``. A potential within rounding of the threshold may then fall on the other
side, and what follows from that spike differs too. So of every sample the *first* differing layer
is looked at, where all inputs were still equal: there each neuron's first difference must come from
a potential within ``TOLERANCE`` of the threshold. Anything else is a wrong export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.export.needs import silence
from spiketicket.measure.observe import watched
from spiketicket.neurons.lif import LIF, Config, charge

TOLERANCE = 1e-4
"""Of the threshold; float32 sums over a few thousand inputs differ by less."""


@dataclass(frozen=True, kw_only=True)
class ReadBack:
    """How one library's reading of a graph compares with the network."""

    reader: str
    """Library and version."""
    samples: int
    compared: int
    """Neuron outputs, over samples, layers and time steps."""
    mismatches: int
    """Outputs that differ; 0 but for rounding at the threshold and what follows from it."""
    flipped_samples: int
    """Samples with any mismatch."""
    changed_classes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able fields."""
        return asdict(self)


Spikes = dict[str, Tensor]
"""Neuron layer -> its output ``[T, B, ...]``."""


def read_back(graph: Any, model: nn.Module, x: Tensor) -> tuple[ReadBack, ...]:
    """Read ``graph`` with every library that is installed, and compare on the input ``x``.

    Args:
        graph: a ``nir.NIRGraph`` of ``model``.
        model: in evaluation mode; its neurons are LIF.
        x: ``[B, C, H, W]`` or ``[T, B, C, H, W]``, normalised.

    Raises:
        UserError: a reading fires differently; names the library and the layer.
    """
    logits, spikes, potentials = _ours(model, x)
    frames = x if x.dim() == 5 else x.expand(cast("Any", model).timesteps, *x.shape)
    results = []
    for reader, read in READERS.items():
        try:
            found = f"{reader} {version(reader.lower())}"
            net = quietly(read, graph)
        except (PackageNotFoundError, ModuleNotFoundError):
            continue
        with silence():
            fired, output = theirs(net, frames, list(spikes))
        results.append(
            compared(
                found, ours=spikes, theirs=fired, distance=potentials, logits=logits, output=output
            )
        )
    return tuple(results)


def missing_readers(results: Sequence[ReadBack]) -> list[str]:
    """A note for every library that did not read the graph back, with how to install it."""
    read = {result.reader.split()[0] for result in results}
    return [
        f"not read back in {reader}, which is not installed or not whole: {_INSTALL[reader]}"
        for reader in READERS
        if reader not in read
    ]


def _ours(model: nn.Module, x: Tensor) -> tuple[Tensor, Spikes, Callable[[str], Tensor]]:
    spikes: Spikes = {}
    currents: dict[str, tuple[Config, Callable[[], Tensor]]] = {}

    def see(name: str, neuron: nn.Module, output: Tensor, current: Callable[[], Tensor]) -> None:
        spikes[name] = output.clone()
        currents[name] = (cast("LIF", neuron).config, current)

    with torch.no_grad(), watched(model, see):
        logits = model(x)

    def potentials(name: str) -> Tensor:
        config, current = currents[name]
        return _distance(current(), spikes[name], config)

    return logits, spikes, potentials


@torch.no_grad()
def _distance(current: Tensor, spikes: Tensor, config: Config) -> Tensor:
    """How far the potential was from the threshold, relative to it; ``[T, B, ...]``."""
    v, found = torch.zeros_like(spikes[0]), []
    for step in range(len(spikes)):
        u = charge(v, current[min(step, len(current) - 1)], config)
        v = u * (1 - spikes[step])
        found.append((u / config.v_threshold - 1).abs())
    return torch.stack(found)


@torch.no_grad()
def theirs(net: nn.Module, frames: Tensor, names: list[str]) -> tuple[Spikes, Tensor]:
    """What the neurons of a network that was read give, and its outputs ``[T, B, classes]``."""
    seen: dict[str, list[Tensor]] = {name: [] for name in names}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            seen[name].append(output[0] if isinstance(output, tuple) else output)

        return hook

    for name in names:
        net.get_submodule(name.replace(".", "_")).register_forward_hook(keep(name))
    state, outputs = None, []
    for frame in frames:
        output, state = net(frame, state)
        outputs.append(output)
    return {name: torch.stack(steps) for name, steps in seen.items()}, torch.stack(outputs)


def compared(
    reader: str,
    *,
    ours: Spikes,
    theirs: Spikes,
    distance: Callable[[str], Tensor],
    logits: Tensor,
    output: Tensor,
) -> ReadBack:
    """How a reading compares.

    Raises:
        UserError: it fires differently where its potential is not at the threshold.
    """
    samples = len(logits)
    equal, mismatches, compared = torch.ones(samples, dtype=torch.bool), 0, 0
    for name, spikes in ours.items():
        differs = (theirs[name] != spikes).flatten(2)
        compared, count = compared + spikes.numel(), int(differs.sum())
        if count:
            first = differs & (differs.cumsum(0) == 1)
            margin = distance(name).flatten(2)[:, equal][first[:, equal]]
            if margin.numel() and float(margin.max()) > TOLERANCE:
                raise UserError(
                    f"{reader} reads another network: {len(margin)} neurons fire differently",
                    where=name,
                    value=f"{float(margin.max()):.3g} from the threshold",
                )
            equal &= ~differs.any(2).any(0)
        mismatches += count
    answers = output.float().mean(0)
    if bool(equal.any()):
        _require_close(answers[equal], logits[equal], reader)
    changed = int((answers.argmax(1) != logits.argmax(1)).sum())
    return ReadBack(
        reader=reader,
        samples=samples,
        compared=compared,
        mismatches=mismatches,
        flipped_samples=int((~equal).sum()),
        changed_classes=changed,
    )


def _require_close(theirs: Tensor, ours: Tensor, reader: str) -> None:
    difference = float((theirs - ours).abs().max())
    if difference > 1e-4 * max(1.0, float(ours.abs().max())):
        what = f"{reader} computes other logits from the same spikes"
        raise UserError(what, where="classifier", value=difference)


def _spikingjelly(graph: Any) -> nn.Module:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    net: nn.Module = import_from_nir(graph)
    return net


def _snntorch(graph: Any) -> nn.Module:
    from snntorch.import_nir import import_from_nir

    net: nn.Module = import_from_nir(graph)
    return net


READERS: Mapping[str, Callable[[Any], nn.Module]] = {
    "SpikingJelly": _spikingjelly,
    "snnTorch": _snntorch,
}
_INSTALL = {
    "SpikingJelly": "pip install --no-deps spikingjelly && pip install loguru",
    "snnTorch": "pip install snntorch",
}


def quietly(read: Callable[[Any], nn.Module], graph: Any) -> nn.Module:
    """The network that a library makes of a graph, in evaluation mode."""
    with silence():
        return read(graph).eval()
