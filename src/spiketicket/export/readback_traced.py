"""A custom network's NIR graph read back: by NIR's equations, and by libraries that can.

Other libraries know a part of NIR. What they do not read, or read otherwise, is said; what the
equations give decides.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.export.needs import silence
from spiketicket.export.nir_equations import NirNetwork
from spiketicket.export.readback import READERS, ReadBack, Spikes, compared, quietly, theirs
from spiketicket.measure.observe import watched
from spiketicket.models.traced.network import TracedNetwork, TracedNeuron


@torch.no_grad()
def read_back_traced(
    graph: Any, model: TracedNetwork, x: Tensor, dt: float
) -> tuple[tuple[ReadBack, ...], list[str]]:
    """How readings compare on ``x`` ``[B, C, H, W]`` or ``[T, B, C, H, W]``, and notes.

    Raises:
        UserError: NIR's equations give other spikes than the network; names the layer.
    """
    logits, spikes, distance = _ours(model, x)
    frames = x if x.dim() == 5 else x.expand(model.timesteps, *x.shape)
    network = NirNetwork(graph, dt)
    output = network(frames.double())
    found = {name: torch.stack(steps) for name, steps in network.spikes.items()}

    def result(reader: str, fired: Spikes, output: Tensor) -> ReadBack:
        alike = {name: fired[name].reshape(spikes[name].shape) for name in spikes}
        return compared(
            reader, ours=spikes, theirs=alike, distance=distance, logits=logits, output=output
        )

    results, notes = [result("NIR's equations", found, output)], []
    for reader, read in READERS.items():
        try:
            name = f"{reader} {version(reader.lower())}"
            net = quietly(read, graph)
            with silence():
                fired, output = theirs(net, frames, list(spikes))
            results.append(result(name, fired, output))
        except (PackageNotFoundError, ModuleNotFoundError):
            notes.append(f"not read back in {reader}, which is not installed")
        except UserError as error:
            notes.append(f"{error.where}: {error.what}" if error.where else error.what)
        except Exception as error:  # a library that does not read a graph raises anything
            reason = " ".join(str(error).split())[:120]
            notes.append(f"{reader} does not read it: {type(error).__name__}: {reason}")
    return tuple(results), notes


def _ours(model: nn.Module, x: Tensor) -> tuple[Tensor, Spikes, Callable[[str], Tensor]]:
    steps = cast("TracedNetwork", model).timesteps
    spikes: Spikes = {}
    seen: dict[str, tuple[TracedNeuron, Callable[[], Tensor]]] = {}

    def see(name: str, neuron: nn.Module, output: Tensor, current: Callable[[], Tensor]) -> None:
        spikes[name] = output.expand(steps, *output.shape[1:]).clone()
        seen[name] = (cast("TracedNeuron", neuron), current)

    with watched(model, see):
        logits = model(x)

    def distance(name: str) -> Tensor:
        neuron, current = seen[name]
        return neuron.margins(current(), spikes[name])

    return logits, spikes, distance
