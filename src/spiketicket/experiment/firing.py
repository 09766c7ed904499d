"""Layers that hardly ever fire, or nearly always, found while a network is trained.

They are looked at on the first batch of every validation, which is computed anyway, and to the same
bits. What was found last lies in the stage's ``firing.json``; a file without layers is none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from spiketicket.experiment.folder import StageFolder
from spiketicket.experiment.setup import Experiment
from spiketicket.machine.files import write_json
from spiketicket.measure.observe import watched
from spiketicket.neurons.lif import LIF
from spiketicket.neurons.step import Step
from spiketicket.progress import Reporter
from spiketicket.recipe.registry import is_custom

LEAST: Final = 0.001
"""Share of a layer's neurons and time steps with a spike, below which it is dead."""
MOST: Final = 0.99
"""The same, above which it is saturated."""

Batches = Iterable[tuple[Tensor, Tensor]]


class Firing:
    """The firing rates of a training's layers; each layer that is off is told once.

    Args:
        title: of the stage, for messages.
        seed: of the stage, for messages.
        files: where what was found is written.
        reporter: hears of it.
        experiment: guards every write, and says whether the network is the user's own, whose
            neurons are called as modules.
    """

    def __init__(
        self,
        title: str,
        seed: int,
        files: StageFolder,
        reporter: Reporter,
        experiment: Experiment,
    ) -> None:
        self._title, self._files, self._reporter = f"{title}, seed {seed}", files, reporter
        self._guard = experiment.guard
        self._custom = is_custom(experiment.recipe.model.name)
        self._told: set[tuple[str, bool]] = set()
        self._seen: dict[str, list[Tensor]] = {}

    def watching(self, model: nn.Module, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches; while who takes them computes the first one, spikes are counted."""
        self._seen = {}
        for index, batch in enumerate(batches):
            if index:
                yield batch
                continue
            with (_hooked if self._custom else watched)(model, self._count):
                yield batch

    def judge(self) -> None:
        """Tell what was found in the batch that was watched, and write it down."""
        rates = {
            _layer(name): torch.stack(shares).mean().item() for name, shares in self._seen.items()
        }
        off = {name: rate for name, rate in rates.items() if not LEAST <= rate <= MOST}
        for name, rate in off.items():
            if (name, rate > MOST) not in self._told:
                self._told.add((name, rate > MOST))
                self._reporter.message(f"{self._title}: {told(name, rate)}")
        if off or self._files.firing.exists():
            self._guard()
            write_json(self._files.firing, {"layers": off})

    def _count(
        self, name: str, neuron: nn.Module, output: Tensor, current: Callable[[], Tensor]
    ) -> None:
        del current
        if isinstance(neuron, LIF | Step):
            self._seen.setdefault(name, []).append(output.detach().float().mean())


def told(layer: str, rate: float) -> str:
    """What is to be said of a layer that is off, with the remedy."""
    shown = f"layer {layer} fires in {100 * rate:.3g} % of all steps"
    if rate < LEAST:
        return (
            f"{shown}: it is as good as dead, and nothing behind it learns. Lower"
            " neuron.v_threshold, keep more weights (ticket.density), or set model.bn_affine = true"
        )
    return (
        f"{shown}: it is saturated, and says nothing. Raise neuron.v_threshold, lower neuron.decay,"
        " or set model.bn_affine = true"
    )


def _layer(name: str) -> str:
    return name.removesuffix(".neuron") or name


@contextlib.contextmanager
def _hooked(model: nn.Module, observer: Callable[..., None]) -> Iterator[None]:
    """As :func:`watched`, of a network that calls its neurons as modules."""

    def seen(name: str, neuron: nn.Module, inputs: Any, output: Tensor) -> None:
        observer(name, neuron, output, lambda: inputs[0])

    handles = [
        module.register_forward_hook(partial(seen, name))
        for name, module in model.named_modules()
        if isinstance(module, LIF | Step)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
