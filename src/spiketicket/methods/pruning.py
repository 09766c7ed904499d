"""What the methods that train weights under a mask have in common.

A method of this kind is one file with a ``Config``, ``plans(config)``, which names its trainings
in order, the last one ``ticket``, and ``prepare(plan, scene)``, which says what a training starts
from and what its mask is. Every training is a stage of the run: its folder, its checkpoint, its
test, its cost.

A pruned weight is exactly zero at all times: masked in the forward pass, zero where it is stored,
without a gradient, and without a momentum that could revive it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from annotated_types import Gt, Lt
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.machine.bounded import max_memory, read_regular
from spiketicket.machine.run_files import read_result
from spiketicket.methods.layers import WeightStart, initial_weight, kept_count
from spiketicket.methods.weights import attach_trained
from spiketicket.models.prunable import TrainedWeight, prunable
from spiketicket.recipe import MethodConfig, ModelConfig, TrainConfig
from spiketicket.streams import Stream
from spiketicket.training.callback import Callback
from spiketicket.training.loop import Batches, Trainee

WEIGHTS, REWIND = "weights.safetensors", "rewind.safetensors"
_MASK = "mask:"
_INSIDE = ".parametrizations."
Masks = Mapping[str, Tensor]
"""Boolean mask by layer."""


class PruningConfig(MethodConfig):
    """A search that ends in weights trained under a mask."""

    density: Annotated[float, Gt(0), Lt(1)]
    budget: Literal["each", "total"] = "each"
    """Whether ``train.epochs`` are those of each training, or of all trainings of the search
    together, the ticket's included."""


@dataclass(frozen=True)
class Plan:
    """One training of a search, a stage of the run.

    Args:
        name: the stage's folder; of the last one ``ticket``.
        reads: what of the method's settings its result is a function of, as plain values. Stages
            of two runs with equal values are trained once in a sweep.
        needs: the earlier stages it starts from or takes masks of.
        keeps: whether later stages need its weights: they are written into its folder.
        stops_after: epochs after which it ends, whatever its schedule; 0 is never.
        is_dense: whether it is what the dense control trains, so that once is enough.
    """

    name: str
    reads: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    keeps: bool = False
    stops_after: int = 0
    is_dense: bool = False


@dataclass(frozen=True)
class Prepared:
    """A training made ready.

    ``finish`` is called once with the trained model in place, and returns facts for the stage's
    result. ``model`` is the network's config where it is not the recipe's, ``dense_weights`` the
    number of weights that a density refers to where the network itself is smaller than the dense,
    ``search_passes`` the samples that preparing it passed forward and back.
    """

    trainee: Trainee
    finish: Callable[[], Mapping[str, Any]] = dict
    model: ModelConfig | None = None
    dense_weights: int | None = None
    search_passes: int = 0


@dataclass(frozen=True)
class Scene:
    """What a method has at hand to prepare a training.

    Args:
        config: the method's.
        model: the network as it is built, before any weight of the seed.
        model_config: its config.
        build: makes it anew from another config.
        binary: whether the net computes with the weights' signs alone.
        train: the budget of this training.
        batches: the training data.
        folder: of this stage; those of the earlier ones are beside it.
        write: writes a file of the stage, in one process of several.
    """

    config: Any
    model: nn.Module
    model_config: ModelConfig
    build: Callable[[ModelConfig], nn.Module]
    binary: bool
    seed: int
    train: TrainConfig
    batches: Batches
    folder: Path
    write: Callable[[Path, bytes], None]

    def weights(self, stage: str, file: str = WEIGHTS) -> dict[str, Tensor]:
        """The state that an earlier stage left: weights, BatchNorm, masks.

        Raises:
            UserError: it left none, or one of another network.
        """
        path = self.folder.parent / stage / file
        remedy = f"Delete {path.parent} and find again"
        try:
            found = load_tensors(read_regular(path, max_memory()))
        except OSError as error:
            what = f"the stage before it has lost its {file}"
            raise UserError(what, where=str(path.parent), remedy=remedy) from error
        except (SafetensorError, ValueError, KeyError) as error:
            raise UserError(f"is damaged: {error}", where=str(path), remedy=remedy) from error
        if wrong := _misfit(found, plain_state(self.model)):
            raise UserError(f"is of another network: {wrong}", where=str(path), remedy=remedy)
        return found

    def facts(self, stage: str) -> Mapping[str, Any]:
        """What an earlier stage's ``finish`` returned."""
        path = self.folder.parent / stage / "result.json"
        facts = (read_result(path) or {}).get("search")
        if not isinstance(facts, dict):
            remedy = f"Delete {path.parent} and find again"
            raise UserError("does not say what was found", where=str(path), remedy=remedy)
        return facts

    def layers(self) -> dict[str, Tensor]:
        """The weights of all layers that a mask can cover."""
        return {n: cast("Tensor", m.weight) for n, m in prunable(self.model).items()}

    def fresh(self, *path: str) -> dict[str, Tensor]:
        """Random weights of the seed: those every dense net starts from, or others by ``path``."""
        found = {}
        for name, weight in self.layers().items():
            stream = Stream(self.seed, *(path or ("weight",)), name)
            value = initial_weight(weight_start(self.config, self.binary), weight.shape, stream)
            found[f"{name}.weight"] = value.to(weight.device)
        return found

    def at_timesteps(self, timesteps: int) -> Scene:
        """The same with a network that runs so many time steps."""
        config = self.model_config.model_copy(update={"timesteps": timesteps})
        return replace(self, model=self.build(config), model_config=config)

    def twin(self) -> nn.Module:
        """A plain copy of the network with the seed's weights, to be measured before training.

        Binary layers have alpha times the sign, as they compute with.
        """
        twin = copy.deepcopy(self.model)
        values = self.fresh()
        with torch.no_grad():
            for name, layer in prunable(twin).items():
                value = values[f"{name}.weight"]
                if self.binary:
                    value = TrainedWeight(None, True)(value)
                cast("nn.Parameter", layer.weight).copy_(value)
        return twin.train()

    def trained(
        self,
        masks: Masks | None = None,
        state: Mapping[str, Tensor] | None = None,
        *,
        start_step: int = 0,
        callbacks: tuple[Callback, ...] = (),
    ) -> Prepared:
        """All weights of the network trained, under ``masks`` if any.

        Args:
            masks: by layer.
            state: weights and BatchNorm to start from; else the seed's weights and a BatchNorm
                that has seen nothing.
            start_step: steps of the schedule that lie behind ``state``.
            callbacks: what the method does while they are trained.
        """
        parameters = attach_trained(
            self.model,
            binary=self.binary,
            seed=self.seed,
            frozen=False,
            masks=masks,
            start=weight_start(self.config, self.binary),
        )
        if state is not None:
            load_plain(self.model, state)
        zero_pruned(self.model)
        weights = self.train.weights
        return Prepared(
            Trainee(self.model, parameters, weights, callbacks=callbacks, start_step=start_step)
        )

    def kept_at(self, prepared: Prepared, step: int) -> Prepared:
        """The same training, which leaves its state after so many steps for rewinding."""
        callbacks = (*prepared.trainee.callbacks, KeepAt(self, step))
        return replace(prepared, trainee=replace(prepared.trainee, callbacks=callbacks))


class KeepAt(Callback):
    """Writes the state of a training after so many steps, for rewinding."""

    def __init__(self, scene: Scene, step: int) -> None:
        self.scene, self.step = scene, step

    def on_step_end(self, epochs: float) -> None:
        """Write it at its step."""
        scene = self.scene
        if round(epochs * scene.batches.steps) == self.step:
            scene.write(scene.folder / REWIND, save_plain(scene.model))


def require_density(config: PruningConfig, sizes: Mapping[str, int]) -> None:
    """Refuse a density at which nothing is kept of layers of these sizes.

    Raises:
        UserError: with the smallest density that keeps a weight.
    """
    if getattr(config, "scope", "global") == "layer":
        for name, size in sizes.items():
            kept_count(size, config.density, f"layer {name}")
    kept_count(sum(sizes.values()), config.density, "the network")


def weight_start(config: MethodConfig, binary: bool) -> WeightStart:
    """How trained weights start, and the frozen control's: as in every dense net."""
    del config, binary
    return WeightStart("kaiming_normal")


def originals(model: nn.Module) -> dict[str, tuple[nn.Parameter, TrainedWeight]]:
    """The stored weight and the parametrization of every layer, by its name."""
    found = {}
    for name, layer in model.named_modules():
        inside = getattr(layer, "parametrizations", None)
        if inside is not None and "weight" in inside:
            found[name] = (inside.weight.original, inside.weight[0])
    return found


def masked(model: nn.Module) -> dict[str, tuple[nn.Parameter, Tensor]]:
    """The stored weight and the mask of every layer that has one."""
    found = {name: (weight, trained.mask) for name, (weight, trained) in originals(model).items()}
    return {name: (weight, mask) for name, (weight, mask) in found.items() if mask is not None}


@torch.no_grad()
def zero_pruned(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Set stored weights where a mask prunes to exactly zero, and their optimizer state too."""
    for weight, mask in masked(model).values():
        weight.mul_(mask)
        state = {} if optimizer is None else optimizer.state.get(weight, {})
        for value in state.values():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.mul_(mask)


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of the network without parametrizations; of binary layers the latent weights."""
    found = {}
    for key, value in model.state_dict().items():
        layer, inside, rest = key.partition(_INSIDE)
        if not inside:
            found[key] = value.detach()
        elif rest == "weight.original":
            found[f"{layer}.weight"] = value.detach()
    return found


@torch.no_grad()
def load_plain(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a :func:`plain_state`, or a part of one, into a network with parametrizations."""
    own = plain_state(model)
    for key, value in state.items():
        if not key.startswith(_MASK):
            own[key].copy_(value)


def save_plain(model: nn.Module) -> bytes:
    """State and masks as safetensors; the same state gives the same bytes."""
    masks = {f"{_MASK}{name}": mask for name, (_, mask) in masked(model).items()}
    state = {**plain_state(model), **masks}
    return save_tensors({k: v.cpu().contiguous().clone() for k, v in state.items()})


def _misfit(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """The first entry of a kept state that a network with the state ``own`` cannot take, or ""."""
    for key, value in own.items():
        found = state.get(key)
        if found is None or found.shape != value.shape or found.dtype != value.dtype:
            return key
    for name, mask in masks_in(state).items():
        weight = own.get(f"{name}.weight")
        if weight is None or mask.dtype != torch.bool or mask.shape != weight.shape:
            return f"{_MASK}{name}"
    return next((key for key in state if key not in own and not key.startswith(_MASK)), "")


def masks_in(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks of a state; none of a dense net's."""
    return {k.removeprefix(_MASK): v for k, v in state.items() if k.startswith(_MASK)}


def magnitudes_in(state: Mapping[str, Tensor], layers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """|w| by layer; -1 where a mask of the state has pruned already, so that nothing returns."""
    masks = masks_in(state)
    found = {}
    for name, own in layers.items():
        magnitude = state[f"{name}.weight"].abs()
        if name in masks:
            magnitude = magnitude.masked_fill(~masks[name], -1.0)
        found[name] = magnitude.to(own.device)
    return found
