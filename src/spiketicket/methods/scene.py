"""What a method has at hand to make a stage ready, and what it gives back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from spiketicket.methods.states import load_plain, read_state, save_plain, save_scores, zero_pruned
from spiketicket.methods.weights import WeightStart, attach_trained, initial_weight
from spiketicket.models.prunable import TrainedWeight, prunable
from spiketicket.recipe import ModelConfig, TrainConfig
from spiketicket.streams import Stream
from spiketicket.training.callback import Callback
from spiketicket.training.loop import Batches, Trainee

Masks = Mapping[str, Tensor]
"""Boolean mask by layer."""
TRAINED_START = WeightStart("kaiming_normal")
"""How trained weights start: from a normal, the usual start of a dense net."""


class StageFiles(Protocol):
    """The files of one stage: see :class:`spiketicket.experiment.folder.StageFolder`."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def ticket(self) -> Path:
        """The net in ticket form."""

    @property
    def weights(self) -> Path:
        """The state that later stages read, where the stage keeps it."""

    @property
    def scores(self) -> Path:
        """The scores that its mask was chosen by, where the stage keeps them."""

    @property
    def rewind(self) -> Path:
        """The same after the step that is rewound to."""

    def kept_by_layer(self) -> dict[str, int]:
        """Weights that its net keeps of every layer."""

    def validation_accuracy(self) -> float:
        """In percent."""

    def found(self) -> Mapping[str, Any]:
        """What its ``finish`` returned."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training made ready.

    Args:
        trainee: what is trained; without parameters only BatchNorm statistics move.
        finish: called once with the trained model in place; returns facts for the stage's result.
        model: the network's config where it is not the stage's.
        dense_weights: the number of weights that a density refers to, where the network itself is
            smaller than the dense one.
        search_passes: samples that preparing it passed forward and back.
    """

    trainee: Trainee
    finish: Callable[[], Mapping[str, Any]] = dict
    model: ModelConfig | None = None
    dense_weights: int | None = None
    search_passes: int = 0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a method has at hand to prepare a stage.

    Args:
        config: the method's.
        model_config: the config of the stage's network.
        build: makes a network from a config, before any weight of the seed.
        seed: of every random number.
        train: the schedule of this training.
        batches: the training data.
        own: the files of this stage; those of the earlier ones are ``earlier(name)``.
        write: writes a file of the stage, in one process of several.
        keeps_scores: whether a control reads the scores of this stage.
    """

    config: Any
    model_config: ModelConfig
    build: Callable[[ModelConfig], nn.Module]
    seed: int
    train: TrainConfig
    batches: Batches
    own: StageFiles
    earlier: Callable[[str], StageFiles]
    write: Callable[[Path, bytes], None]
    keeps_scores: bool = False

    @cached_property
    def model(self) -> nn.Module:
        """The stage's network, as it is built."""
        return self.build(self.model_config)

    @property
    def binary(self) -> bool:
        """Whether the net computes with the weights' signs alone."""
        return self.model_config.weights == "binary"

    def weights(self, stage: str, *, rewind: bool = False) -> dict[str, Tensor]:
        """The state that an earlier stage left: weights, BatchNorm, masks.

        Raises:
            UserError: it left none, or one of another network.
        """
        files = self.earlier(stage)
        return read_state(files.rewind if rewind else files.weights, self.model)

    def keep_scores(self, scores: Mapping[str, Tensor]) -> None:
        """Keep what the mask was chosen by, by layer, where a control of the run reads it."""
        if self.keeps_scores:
            self.write(self.own.scores, save_scores(scores))

    def layers(self) -> dict[str, Tensor]:
        """The weights of all layers that a mask can cover."""
        return {n: cast("Tensor", m.weight) for n, m in prunable(self.model).items()}

    def fresh(self, *path: str) -> dict[str, Tensor]:
        """Random weights of the seed: those every dense net starts from, or others by ``path``."""
        found = {}
        for name, weight in self.layers().items():
            stream = Stream(self.seed, *(path or ("weight",)), name)
            value = initial_weight(TRAINED_START, weight.shape, stream)
            found[f"{name}.weight"] = value.to(weight.device)
        return found

    def at_timesteps(self, timesteps: int) -> Scene:
        """The same with a network that runs so many time steps."""
        config = self.model_config.model_copy(update={"timesteps": timesteps})
        return replace(self, model_config=config)

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
            start=TRAINED_START,
        )
        if state is not None:
            load_plain(self.model, state)
        zero_pruned(self.model)
        trainee = Trainee(
            model=self.model,
            parameters=parameters,
            optimizer=self.train.weights,
            callbacks=callbacks,
            start_step=start_step,
        )
        return Prepared(trainee=trainee)

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
            scene.write(scene.own.rewind, save_plain(scene.model))
