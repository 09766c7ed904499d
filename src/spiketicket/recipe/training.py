"""The section ``[train]`` of a recipe: the budget, the optimizers and the loop."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Le, Len, Lt
from pydantic import Field, model_validator

from spiketicket.recipe.section import LATER, Count, Epochs, Section

Rate = Annotated[float, Interval(gt=0, le=1e6)]
Decay = Annotated[float, Ge(0), Lt(1)]
"""Of a running mean: the share of what was there before."""


class OptimizerConfig(Section):
    """An optimizer."""

    name: Annotated[Literal["sgd", "adam", "adamw"], Field(examples=["adam"])]
    """Which optimizer of PyTorch."""
    lr: Annotated[Rate, Field(examples=[0.01])]
    """Learning rate after the warm-up, times the factor that tuning finds (``train.tune``)."""
    weight_decay: Annotated[float, Interval(ge=0, le=1e6)] = 0.0
    """Weight decay, as PyTorch's optimizer of that name takes it."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    """Momentum of ``sgd``; the other two do not read it."""
    betas: Annotated[tuple[Decay, Decay], LATER] = (0.9, 0.999)
    """Of ``adam`` and ``adamw``: decay of the running means of the gradient and of its square."""


class ScoreOptimizerConfig(OptimizerConfig):
    """The optimizer of the scores, for a ticket search."""

    name: Literal["sgd", "adam", "adamw"] = "adam"
    lr: Rate = 0.02


class WeightOptimizerConfig(OptimizerConfig):
    """The optimizer of the weights, for the dense net and the random-mask control."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Rate = 2e-3
    weight_decay: Annotated[float, Interval(ge=0, le=1e6)] = 0.01


RampStep = tuple[Annotated[Epochs, Ge(1)], Annotated[int, Interval(ge=1, le=64)]]
SizeStep = tuple[Annotated[Epochs, Ge(1)], Annotated[int, Interval(ge=1, le=4096)]]


class TrainConfig(Section):
    """The budget and the loop, the same for the ticket and for every control."""

    epochs: Annotated[Epochs, Ge(1), Field(examples=[20])]
    """Passes over the training samples, of the search and of every control."""
    batch_size: Annotated[int, Interval(ge=1, le=1 << 20), Field(examples=[64])]
    """Samples of an optimizer step."""
    precision: Annotated[
        Literal["auto", "fp32", "bf16"], Field(json_schema_extra={"hashed_default": "fp32"})
    ] = "auto"
    """What layers are multiplied in while a net is trained. ``auto`` is bfloat16 where the
    processor multiplies it itself and the network is wide enough to gain, else float32; a result
    says which it was, and a run is in one of them."""
    warmup: Annotated[float, Interval(ge=0, le=1)] = 0.1
    """Fraction of all steps with a rising learning rate; ``schedule`` follows."""
    schedule: Annotated[Literal["cosine", "linear", "constant"], LATER] = "cosine"
    """How the learning rate goes on after the warm-up: to zero along half a cosine or a line, or
    not at all."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of each target that is spread evenly over all classes."""
    scores: ScoreOptimizerConfig = ScoreOptimizerConfig()
    """The optimizer of the scores, for a ticket search."""
    weights: WeightOptimizerConfig = WeightOptimizerConfig()
    """The optimizer of the weights, for the dense net and every other control that is trained."""
    average: Annotated[Decay, LATER] = 0.0
    """Decay per step of a running mean of what is trained, scores or weights: nets are judged and
    kept with the mean, masks are those of the mean scores, and BatchNorm statistics are estimated
    anew for it. 0 is none."""
    bn_momentum: Annotated[Annotated[float, Gt(0), Le(1)] | None, LATER] = None
    """Share of each batch in BatchNorm's running statistics; None is the network's own, 0.1 in the
    networks of this package."""
    bn_statistics: Annotated[Literal["running", "fresh"], LATER] = "running"
    """What BatchNorm judges a net with: the running statistics of the training, or plain averages
    over 100 training batches that are taken anew before every judgement."""
    kernel: Literal["auto", "native", "compile", "eager"] = "auto"
    """How the neuron is computed; ``auto`` takes the fastest that works here."""
    checkpoint_steps: Count = 200
    """Optimizer steps between two checkpoints."""
    sync_batch_norm: bool = True
    """Whether BatchNorm's statistics are those of the whole batch where several processes share
    it; else each takes those of its own rows."""
    tune: Annotated[Literal["rates", "off"], Field(json_schema_extra={"hashed_default": "off"})] = (
        "rates"
    )
    """Whether every kind of stage tries its learning rate times 1/4, 1 and 4 on the first seed, in
    trainings of half the epochs, and takes the best by validation accuracy."""
    timestep_ramp: Annotated[tuple[RampStep, ...], Len(0, 100)] = ()
    """Pairs (epochs, timesteps): train so many epochs at so many timesteps, in turn, before the
    remaining epochs at ``model.timesteps``. Of recordings, whose frames the timesteps must divide,
    neighbouring frames are added up."""
    size_ramp: Annotated[Annotated[tuple[SizeStep, ...], Len(0, 100)], LATER] = ()
    """Pairs (epochs, side): train so many epochs on pictures whose shorter side is so many pixels,
    in turn, before the remaining epochs at full size. Augmented pictures are reduced by the mean
    over areas. Only for pictures, and for networks that take any size."""

    @property
    def judges_afresh(self) -> bool:
        """Whether BatchNorm statistics are taken anew before a net is judged."""
        return self.bn_statistics == "fresh" or self.average > 0

    @model_validator(mode="after")
    def _ramps_leave_epochs(self) -> TrainConfig:
        for name, ramp, end in (
            ("timestep_ramp", self.timestep_ramp, "at model.timesteps"),
            ("size_ramp", self.size_ramp, "at full size"),
        ):
            taken = sum(epochs for epochs, _ in ramp)
            if taken >= self.epochs:
                raise ValueError(
                    f"{name} takes {taken} of {self.epochs} epochs; at least one must remain {end}"
                )
        return self
