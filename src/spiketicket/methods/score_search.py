r"""What the searches over scores of frozen random weights have in common.

Every weight has a score. The mask keeps the fraction ``density`` with the largest absolute scores,
of each layer or of all of them together, and the scores get the gradient straight through it. Masks
and scales are computed once per optimizer step and held in buffers. A method says how its scores
start, and whether their signs count: ``edge_popup.py``, ``signed_supermask.py``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spiketicket.errors import UserError
from spiketicket.methods import controls
from spiketicket.methods.densities import Distribution, kept_counts
from spiketicket.methods.masks import largest_masks
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.weights import WeightStart, initial_weight, norm_parameters
from spiketicket.models.prunable import prunable
from spiketicket.recipe import Epochs, MethodConfig, Recipe
from spiketicket.recipe.section import LATER
from spiketicket.streams import Stream
from spiketicket.training.callback import Callback
from spiketicket.training.loop import Trainee


class ScoreConfig(MethodConfig):
    """Hyper-parameters of a search over scores."""

    scored = True

    trains = "scores"

    scope: Literal["layer", "global"] = "layer"
    """One threshold a layer, or one for all layers."""
    distribution: Annotated[Distribution, LATER] = "uniform"
    """With scope "layer": ``uniform`` keeps the density of every layer, ``erk`` more of small ones
    and as many of all of them together (Evci et al. 2020, arXiv 1911.11134)."""
    weight_init: Literal["signed_constant", "kaiming_normal"] | None = None
    """None is signed_constant for binary weights and kaiming_normal for float ones: with a
    signed constant a float ticket is the binary ticket of the same scores."""
    scale_fan: bool = False
    """Whether the initial weights count only the kept part of their fan-in."""
    regrow: bool = True
    """False is the ratchet of arXiv 2311.12060: a removed connection never returns."""
    ramp_epochs: Epochs | None = None
    """Epochs over which the pruned share rises cubically from 0 to 1 - density; None is biprop's
    own rule: a quarter of the epochs for scope "global" with density <= 0.5, else none."""
    fine_tune_epochs: Epochs = 0
    """Extra epochs for the surviving weights of the ticket, mask fixed; 0 is none."""
    fine_tune_bn_affine: bool = False
    """Whether fine-tuning trains BatchNorm's scale and shift as well."""

    def shortened(self, share: float) -> Self:
        """With a ramp that is as large a part of the training."""
        if not self.ramp_epochs:
            return self
        return self.model_copy(update={"ramp_epochs": max(1, int(self.ramp_epochs * share))})

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.density == 1:
            raise ValueError("density 1 keeps every weight: there is nothing to search; use < 1")
        if self.distribution != "uniform" and (self.scope == "global" or self.scale_fan):
            raise ValueError(
                f'distribution="{self.distribution}" gives every layer a density of its own, so it'
                ' needs scope="layer" and scale_fan=false'
            )
        if not self.regrow and not self.ramp_epochs:
            raise ValueError(
                "regrow=false needs ramp_epochs >= 1: without a ramp the first mask would be final"
            )
        return self


class _Popup(torch.autograd.Function):
    """W_eff forward; the scores' straight-through gradient backward."""

    @staticmethod
    def forward(
        ctx: Any, effective: Tensor, weight: Tensor, scores: Tensor, signed: bool
    ) -> Tensor:
        ctx.save_for_backward(weight, scores)
        ctx.signed = signed
        return effective.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor, None]:
        weight, scores = ctx.saved_tensors
        slope = weight if ctx.signed else torch.where(scores < 0, -weight, weight)
        return None, None, slope * grads[0], None


class PopupWeight(nn.Module):
    """Parametrization of one layer's weight: frozen values, scores, mask and scale.

    ``binary`` computes with one scale per layer, ``signed`` inverts weights of negative scores.
    Buffers: ``mask`` (bool, the weight's shape), ``alpha`` (float32 scalar, 1 for float tickets),
    ``effective`` (the weight the layer computes with).
    """

    mask: Tensor
    alpha: Tensor
    effective: Tensor

    def __init__(
        self, weight: Tensor, scores: Tensor, *, binary: bool, signed: bool = False
    ) -> None:
        super().__init__()
        self.binary, self.signed = binary, signed
        self.scores = nn.Parameter(scores)
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))
        self.register_buffer("alpha", torch.ones((), dtype=torch.float32, device=weight.device))
        self.register_buffer("effective", torch.empty_like(weight), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """The effective weight; gradients go to the scores."""
        out: Tensor = _Popup.apply(self.effective, weight, self.scores, self.signed)  # type: ignore[no-untyped-call]
        return out

    @torch.no_grad()
    def set_mask(self, weight: Tensor, mask: Tensor) -> None:
        """Take a new mask; recomputes alpha and the effective weight."""
        self.mask.copy_(mask)
        if self.binary:
            # summed in float64 and rounded once, so that the order of summation does not matter
            kept = torch.where(mask, weight.abs(), 0.0).sum(dtype=torch.float64)
            self.alpha.copy_(kept / mask.sum())
        self.refresh(weight)

    @torch.no_grad()
    def refresh(self, weight: Tensor) -> None:
        """Recompute the effective weight from what a state holds (after loading one)."""
        values = torch.where(weight < 0, -self.alpha, self.alpha) if self.binary else weight
        if self.signed:
            values = torch.where(self.scores < 0, -values, values)
        self.effective.copy_(values * self.mask)


class ScoreSearch(Callback, ABC):
    """A search attached to a model: owns the parametrizations and recomputes the masks."""

    signed: ClassVar[bool] = False
    """Whether the sign of a score is that of its weight too: negative ones invert it."""
    weight: ClassVar[type[PopupWeight]] = PopupWeight

    def __init__(
        self, model: nn.Module, config: ScoreConfig, *, binary: bool, seed: int, epochs: int
    ) -> None:
        self.config, self.epochs = config, epochs
        if self.ramp > epochs:
            raise UserError(
                f"the ramp does not end within the {epochs} epochs of training",
                where="ticket.ramp_epochs",
                value=self.ramp,
                remedy="Make it shorter, or train.epochs larger",
            )
        self.layers = prunable(model)
        shapes = {n: tuple(cast("Tensor", m.weight).shape) for n, m in self.layers.items()}
        if config.scope == "layer":
            kept_counts(shapes, config.density, config.distribution)
        for name, layer in self.layers.items():
            self._attach(name, layer, binary, seed)
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith(".original"):
                parameter.requires_grad_(False)
        self.on_step_end(0.0)

    def _attach(self, name: str, layer: nn.Module, binary: bool, seed: int) -> None:
        weight = cast("nn.Parameter", layer.weight)
        shape = tuple(weight.shape)
        start = weight_start(self.config, binary)
        value = initial_weight(start, shape, Stream(seed, "weight", name))
        with torch.no_grad():
            weight.copy_(value)
        scores = torch.empty_like(weight)
        scores.copy_(self.initial_scores(shape, Stream(seed, "score", name)))
        popup = self.weight(weight.detach(), scores, binary=binary, signed=self.signed)
        parametrize.register_parametrization(layer, "weight", popup, unsafe=True)

    @abstractmethod
    def initial_scores(self, shape: tuple[int, ...], stream: Stream) -> Tensor:
        """The scores of a layer before the first step, float32 of its weight's shape."""

    def popups(self) -> dict[str, PopupWeight]:
        """Path -> parametrization, in layer order."""
        return {name: _popup(layer) for name, layer in self.layers.items()}

    def scores(self) -> dict[str, Tensor]:
        """The scores by layer, as they are now."""
        return {name: popup.scores.detach() for name, popup in self.popups().items()}

    def parameters(self) -> list[nn.Parameter]:
        """The scores: what the optimizer moves."""
        return [popup.scores for popup in self.popups().values()]

    @property
    def ramp(self) -> int:
        """Epochs until the density is the one asked for."""
        return ramp_epochs(self.config, self.epochs)

    def is_complete(self, epoch: int) -> bool:
        """Whether the masks at the end of this epoch have the density asked for."""
        return epoch + 1 >= self.ramp

    def density_at(self, epoch: float) -> float:
        """Density after ``epoch`` epochs (fractional), following the ramp."""
        target, ramp = self.config.density, self.ramp
        if epoch >= ramp:
            return target
        return 1.0 - (1.0 - target) * (1.0 - (1.0 - epoch / ramp) ** 3)

    @torch.no_grad()
    def on_step_end(self, epochs: float) -> None:
        """Recompute every mask from the scores, after so many epochs (fractional)."""
        popups = self.popups()
        magnitudes = {name: self._ranked(popup) for name, popup in popups.items()}
        density, config = self.density_at(epochs), self.config
        masks = largest_masks(magnitudes, density, config.scope, config.distribution)
        for name, popup in popups.items():
            popup.set_mask(_original(self.layers[name]), masks[name])

    def on_averaged(self, epochs: float) -> None:
        """Take the masks of the mean scores."""
        self.on_step_end(epochs)

    def _ranked(self, popup: PopupWeight) -> Tensor:
        magnitude = popup.scores.abs()
        return magnitude if self.config.regrow else magnitude.masked_fill(~popup.mask, -1.0)

    def on_state_loaded(self) -> None:
        """Recompute what is not stored in a state dict, after one was loaded."""
        for name, popup in self.popups().items():
            popup.refresh(_original(self.layers[name]))


def ramp_epochs(config: ScoreConfig, epochs: int) -> int:
    """How many of so many epochs it takes until the density is the one asked for."""
    if config.ramp_epochs is not None:
        return config.ramp_epochs
    return math.ceil(epochs / 4) if config.scope == "global" and config.density <= 0.5 else 0


def weight_start(config: ScoreConfig, binary: bool) -> WeightStart:
    """How the frozen weights of a search start."""
    kind = config.weight_init or ("signed_constant" if binary else "kaiming_normal")
    return WeightStart(kind, config.density if config.scale_fan else 1.0)


def searched(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a recipe: the search, which is the ticket, and its controls."""
    config = cast("ScoreConfig", recipe.ticket)
    ignored = ("fine_tune_epochs", "fine_tune_bn_affine")
    search = Stage(name="ticket", role="ticket", trains=("scores",), ignores=ignored)
    start = weight_start(config, recipe.model.weights == "binary")
    return controls.beside(recipe, search, frozen_start=start)


def prepared(scene: Scene, kind: type[ScoreSearch]) -> Prepared:
    """A search on the scene's model, made ready; BatchNorm's scale and shift are trained where the
    network has them.
    """
    search = kind(
        scene.model,
        scene.config,
        binary=scene.binary,
        seed=scene.seed,
        epochs=scene.train.epochs,
    )
    parameters = list(search.parameters())
    parameters += [p for p in norm_parameters(scene.model) if p.requires_grad]
    trainee = Trainee(
        model=scene.model,
        parameters=parameters,
        optimizer=scene.train.scores,
        callbacks=(search,),
    )

    def finish() -> dict[str, object]:
        scene.keep_scores(search.scores())
        return {}

    return Prepared(trainee=trainee, finish=finish)


def _popup(layer: nn.Module) -> PopupWeight:
    return cast("PopupWeight", cast("Any", layer).parametrizations.weight[0])


def _original(layer: nn.Module) -> Tensor:
    return cast("Tensor", cast("Any", layer).parametrizations.weight.original)
