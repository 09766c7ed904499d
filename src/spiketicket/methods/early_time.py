"""Early-Time tickets: search at fewer time steps, train the ticket at all of them.

Kim et al., ECCV 2022 (arXiv 2207.01382). After a few epochs of the dense training at T steps, the
class probabilities P_t that the net gives after t steps are compared, and the search is done at

    T' = the smallest t >= 2 with  KL(P_t || P_T) / KL(P_2 || P_T) < threshold

(T itself where there is none). The search is that of ``imp`` or of ``early_bird``; only the last
training, the ticket's, has T steps. The probe needs an image at every step: recordings, whose
steps are frames, are refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

import torch
from annotated_types import Ge, Gt, Le
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.methods import early_bird as bird
from spiketicket.methods import imp as iterative
from spiketicket.methods.pruning import SHARED, PruningConfig, with_controls
from spiketicket.methods.scene import Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.recipe import Epochs, Recipe
from spiketicket.training.callback import StopAfter

PROBE = "probe"
_BATCHES = 10
"""Training batches that the probabilities are compared on."""


class Config(PruningConfig):
    """Hyper-parameters."""

    scored = True

    name: Literal["early_time"] = "early_time"
    search: Literal["imp", "early_bird"] = "imp"
    """The search that is done at fewer time steps."""
    threshold: Annotated[float, Gt(0), Le(1)] = 0.6
    """Of the quotient of divergences that chooses the time steps; larger is fewer of them."""
    probe_epochs: Annotated[Epochs, Ge(1)] = 2
    """Epochs of the dense training before the comparison."""
    imp: iterative.Options = iterative.Options()
    """The settings of ``imp``, where it is the search."""
    early_bird: bird.Options = bird.Options()
    """The settings of ``early_bird``, where it is the search."""

    @model_validator(mode="after")
    def _settings_that_are_read(self) -> Config:
        other = "early_bird" if self.search == "imp" else "imp"
        if getattr(self, other) != type(self).model_fields[other].default:
            raise ValueError(f'{other} has settings, but search = "{self.search}" reads none of it')
        return self


_SEARCHES = {"imp": iterative, "early_bird": bird}


def inner(config: Config) -> Any:
    """The config of the search."""
    options = getattr(config, config.search).model_dump()
    return _SEARCHES[config.search].Config(density=config.density, **options)


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The probe, and the stages of the search."""
    config = cast("Config", recipe.ticket)
    probe = Stage(
        name=PROBE,
        title="time step probe",
        stops_after=config.probe_epochs,
        rate_of="dense",
        ignores=("budget", "density", "probe_epochs", "search", *_SEARCHES),
    )
    imp = config.search == "imp"
    searched = iterative.trainings(inner(config)) if imp else bird.trainings()
    return with_controls(recipe, probe, *(_after_probe(s, config.search) for s in searched))


def _after_probe(stage: Stage, search: str) -> Stage:
    """A stage of the search, by this method's settings."""
    other = next(name for name in _SEARCHES if name != search)
    outer = tuple(name for name in stage.ignores if name in SHARED and name != "name")
    own = tuple(f"{search}.{name}" for name in stage.ignores if name not in SHARED)
    ignores = dict.fromkeys(("budget", "probe_epochs", other, *outer, *own))
    return replace(stage, needs=(PROBE, *stage.needs), ignores=tuple(ignores))


def check_settings(recipe: Recipe) -> None:
    """Refuse what a probe cannot be done on.

    Raises:
        UserError: fewer than three time steps, a ramp of them, or too few epochs for the probe.
    """
    steps = recipe.model.timesteps
    if steps < 3:
        raise UserError(
            "needs 3 time steps or more: it looks for fewer of them",
            where="model.timesteps",
            value=steps,
        )
    if recipe.train.timestep_ramp:
        raise UserError(
            "does not go together with a ramp of time steps",
            where="train.timestep_ramp",
            remedy="Leave the ramp out",
        )
    config = cast("Config", recipe.ticket)
    if config.probe_epochs > recipe.train.epochs:
        raise UserError(
            f"stage {PROBE} is to have {config.probe_epochs} epochs",
            where="train.epochs",
            value=recipe.train.epochs,
            remedy="Use more epochs",
        )


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Make a training ready."""
    if stage.name == PROBE:
        _refuse_recordings(scene)
        made = scene.trained(callbacks=(StopAfter(stage.stops_after),))
        return replace(made, finish=lambda: probe(scene))
    whole = stage.name == "ticket"
    if not whole:
        scene = scene.at_timesteps(int(scene.earlier(PROBE).found()["timesteps"]))
    own = replace(scene, config=inner(scene.config))
    prepared: Prepared = _SEARCHES[scene.config.search].prepare(stage, own)
    return prepared if whole else replace(prepared, model=scene.model_config)


def _refuse_recordings(scene: Scene) -> None:
    x, _ = next(iter(scene.batches.epoch(0)))
    if x.dim() == 5:
        raise UserError(
            "needs static images; these are recordings",
            where="ticket.name",
            value="early_time",
            remedy='Use "imp" or "early_bird"',
        )


def probe(scene: Scene) -> Mapping[str, Any]:
    """The divergence of every number of steps, and the number chosen."""
    images = (images for images, _ in itertools.islice(scene.batches.epoch(0), _BATCHES))
    total = scene.model_config.timesteps
    divergences = kl_by_timesteps(scene.model, images, total)
    chosen = chosen_timesteps(divergences, total, scene.config.threshold)
    shown = {str(t): value for t, value in divergences.items()}
    return {"timesteps": chosen, "of": total, "kl": shown}


@torch.no_grad()
def kl_by_timesteps(model: nn.Module, images: Iterator[Tensor], total: int) -> dict[int, float]:
    """KL(P_t || P_T) for t = 2 .. T - 1, averaged over the images, in nats.

    ``model.timesteps`` is the number of steps it runs; it is put back.
    """
    training = model.training
    model.eval()
    sums = dict.fromkeys(range(2, total), 0.0)
    seen = 0
    try:
        for x in images:
            reference = _log_probabilities(model, x, total)
            for t in sums:
                own = _log_probabilities(model, x, t)
                sums[t] += float(
                    functional.kl_div(reference, own, reduction="sum", log_target=True)
                )
            seen += len(x)
    finally:
        model.timesteps = total  # type: ignore[assignment]
        model.train(training)
    return {t: value / seen for t, value in sums.items()}


def _log_probabilities(model: nn.Module, x: Tensor, timesteps: int) -> Tensor:
    model.timesteps = timesteps  # type: ignore[assignment]
    return functional.log_softmax(cast("Tensor", model(x)).double(), 1)


def chosen_timesteps(divergences: Mapping[int, float], total: int, threshold: float) -> int:
    """The smallest number of steps that is near enough to all of them."""
    most = divergences[2]
    return next((t for t, kl in divergences.items() if kl < threshold * most), total)
