"""The stages of a recipe: the stages of a parameter ticket, or the ladder of a transformer's.

A ladder's stages, each trained from scratch, each on the same data with the same budget:

dense                    every patch, ConvPEP dense
selector                 a short training of the dense net, which ranks the patches
try_<score>              a short patch ticket a score, for ``score = "auto"``
patch, patch_<rule>      the patch ticket, and as many patches kept by each control's rule
pep_search               ConvPEP under a temporary linear head (``search = "two_stage"``)
pepsp, multisp           with the ConvPEP ticket; then also with binary activations
  .._random_trained      a random ConvPEP mask of the same density, weights trained
  .._random_frozen       a random ConvPEP mask on the frozen random weights
<last>_finetuned         the last ticket, its mask fixed, surviving weights trained further
<last>_finetune_control  as many steps for everything but the ticket's ConvPEP
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.machine.run_files import required_result
from spiketicket.machine.run_models import Tested
from spiketicket.methods import controls as stages
from spiketicket.methods import edge_popup, trainings
from spiketicket.methods.controls import PreparedStage, build_network
from spiketicket.methods.layers import WeightStart, kept_count, norm_parameters, random_masks
from spiketicket.methods.rung_config import LadderConfig, weight_start
from spiketicket.methods.stages import distinct_rungs
from spiketicket.methods.trainings import Work
from spiketicket.methods.weights import attach_kept, attach_trained
from spiketicket.models.blocks import DataShape
from spiketicket.models.prunable import prunable
from spiketicket.models.transformer import SpikingTransformer, TransformerConfig
from spiketicket.recipe import Recipe, TrainConfig, registry
from spiketicket.recipe.shapes import SCORES
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Trainee
from spiketicket.training.optimizer import check_together

Pep = Literal["dense", "searched", "found", "random_trained", "random_frozen", "tuned", "kept"]


@dataclass(frozen=True)
class Plan:
    """One stage of a ladder."""

    name: str
    pep: Pep = "dense"
    """What ConvPEP is; ``found``, ``tuned`` and ``kept`` take it from the stage ``start``."""
    epochs: int = 0
    ranking: str = "none"
    """``ticket`` is the recipe's score, ``auto`` resolved."""
    activation: str = "as_neuron"
    start: str = ""
    change: Mapping[str, Any] = field(default_factory=dict)
    rung: str = ""
    """The ticket this stage is, or is a control of."""


def is_ladder(recipe: Recipe) -> bool:
    """Whether the recipe's ticket is one of a transformer's patches."""
    return isinstance(recipe.ticket, LadderConfig)


def main_stage(recipe: Recipe) -> str:
    """The stage whose net is the recipe's ticket."""
    return rungs(recipe)[-1] if is_ladder(recipe) else "ticket"


def rungs(recipe: Recipe) -> tuple[str, ...]:
    """The tickets of the ladder, each once."""
    config = _config(recipe)
    activation = getattr(config, "activation", None)  # patches alone have none
    return distinct_rungs(config.rungs, activation, recipe.neuron.name)


def stage_names(recipe: Recipe) -> tuple[str, ...]:
    """All stages in the order they run."""
    if is_ladder(recipe):
        return tuple(plan.name for plan in plans(recipe))
    return (*trainings.search_names(recipe), *stages.stage_names(recipe))


def condition(recipe: Recipe) -> str:
    """What kind of net the recipe is about."""
    if not is_ladder(recipe):
        return stages.condition(recipe)
    config = _config(recipe)
    kind = {"lif": "spiking", "relu": "ANN"}.get(recipe.neuron.name, recipe.neuron.name)
    parts = [f"{kind} {recipe.model.name}", f"keep {config.keep:g}"]
    last = rungs(recipe)[-1]
    if last != "patch":
        parts.append(f"{recipe.model.weights} ConvPEP at density {config.density:g}")
    if last == "multisp":
        parts.append(f"{config.activation} inside it")
    return ", ".join(parts)


def plans(recipe: Recipe) -> list[Plan]:
    """The stages of a ladder.

    Raises:
        UserError: the network has no patches, or a field of the model is the ladder's to set.
    """
    config, epochs = _config(recipe), recipe.train.epochs
    model = recipe.model
    if not isinstance(model, TransformerConfig):
        raise UserError(
            "needs a network with patches",
            where="ticket.name",
            value=config.name,
            remedy='Use model.name = "spikformer" or "sdt", or ticket.name = "edge_popup"',
        )
    if (model.keep, model.ranking, model.activation) != (1.0, "none", "as_neuron"):
        raise UserError(
            "model.keep, model.ranking and model.activation are set by the ticket",
            where="model",
            remedy="Leave them out; set ticket.keep, score and activation",
        )
    if not config.rungs:
        raise UserError("names no rung", where="ticket.rungs", value=config.rungs)
    short = _share(config.selector_share, epochs)
    found = [Plan("selector", epochs=short)]
    if recipe.controls.dense:
        found.append(Plan("dense", epochs=epochs))
    if config.score == "auto":
        found += [Plan(f"try_{s}", epochs=short, ranking=s) for s in SCORES]
    for rung in rungs(recipe):
        found += _rung(recipe, config, rung)
    if config.fine_tune_epochs:
        last = found[[p.name for p in found].index(rungs(recipe)[-1])]
        for name, pep in (("finetuned", "tuned"), ("finetune_control", "kept")):
            affine = {"bn_affine": True} if config.fine_tune_bn_affine else {}
            found.append(
                Plan(
                    f"{last.name}_{name}",
                    cast("Pep", pep),
                    config.fine_tune_epochs,
                    "ticket",
                    last.activation,
                    last.name,
                    affine,
                    last.name,
                )
            )
    return found


def _share(share: float, epochs: int) -> int:
    return max(1, math.ceil(round(share * epochs, 9)))


def _rung(recipe: Recipe, config: Any, rung: str) -> list[Plan]:
    epochs = recipe.train.epochs
    if rung == "patch":
        rules = config.patch_controls
        return [Plan("patch", epochs=epochs, ranking="ticket", rung=rung)] + [
            Plan(f"patch_{rule}", epochs=epochs, ranking=rule, rung=rung) for rule in rules
        ]
    activation = config.activation if rung == "multisp" else "as_neuron"
    found = []
    searched: Pep = "searched"
    start = ""
    if config.search == "two_stage":
        short = _share(config.search_share, epochs)
        start, searched = f"{rung}_search", "found"
        found.append(
            Plan(start, "searched", short, "none", activation, change={"depth": 0}, rung=rung)
        )
    found.append(Plan(rung, searched, epochs, "ticket", activation, start, rung=rung))
    controls = recipe.controls
    for name, wanted in (
        ("random_trained", controls.random_trained),
        ("random_frozen", controls.random_frozen),
    ):
        if wanted:
            pep = cast("Pep", name)
            found.append(Plan(f"{rung}_{name}", pep, epochs, "ticket", activation, rung=rung))
    return found


def check(recipe: Recipe, shape: DataShape) -> None:
    """Refuse what would fail in a later stage, before the first one is trained.

    Raises:
        UserError: a stage's network cannot be, its ticket would keep nothing, or scores and
            weights have optimizers that do not go together.
    """
    if not is_ladder(recipe):
        if registry.is_custom(recipe.model.name):  # before the run has a folder
            build_network(recipe, shape)
        trainings.check(recipe, shape)
        return
    config = _config(recipe)
    auto = config.score == "auto"
    for plan in plans(recipe):
        scores = SCORES if auto else (config.score,)
        for ranking in scores if plan.ranking == "ticket" else (plan.ranking,):
            altered = altered_recipe(recipe, plan, ranking, recipe.seed)
            with torch.device("meta"):
                model = cast("SpikingTransformer", build_network(altered, shape))
        if plan.pep not in ("dense", "tuned", "kept"):
            _kept_counts(model.conv_pep, config.density)
        if plan.pep == "searched":
            check_together(recipe.train.weights, recipe.train.scores)


def altered_recipe(recipe: Recipe, plan: Plan, ranking: str, seed: int) -> Recipe:
    """The recipe with the network of a stage."""
    change: dict[str, Any] = {"activation": plan.activation, "step": "neuron", **plan.change}
    if ranking != "none":
        change |= {"keep": _config(recipe).keep, "ranking": ranking, "ranking_seed": seed}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=change)})


def prepare(
    name: str,
    recipe: Recipe,
    shape: DataShape,
    seed: int,
    device: torch.device,
    kept: Mapping[str, int] | None,
    seed_folder: Path,
    work: Work | None = None,
) -> PreparedStage:
    """Build a stage's network and attach what it trains; ``seed_folder`` has the earlier stages.

    ``work`` is what a search by pruning has at hand.

    Raises:
        UserError: as the network and the method, for what does not fit.
    """
    if trainings.is_search(recipe, name):
        return trainings.prepare(name, recipe, shape, seed, device, seed_folder, work)
    if not is_ladder(recipe):
        return stages.prepare(cast("Any", name), recipe, shape, seed, device, kept, seed_folder)
    plan = next(p for p in plans(recipe) if p.name == name)
    ranking = chosen_score(recipe, seed_folder) if plan.ranking == "ticket" else plan.ranking
    altered = altered_recipe(recipe, plan, ranking, seed)
    model = cast("SpikingTransformer", build_network(altered, shape)).to(device)
    if model.selector is not None:
        _load_selector(model, seed_folder / "selector" / "model.ticket")
    trainee = _attach(plan, model, altered, seed, seed_folder)
    if plan.pep != "dense":
        trainee = replace(trainee, fresh_statistics=True)
    train = budget(recipe.train, plan)
    return PreparedStage(name, trainee, altered.model.bn_affine, altered.model, train)


def budget(train: TrainConfig, plan: Plan) -> TrainConfig:
    """The training of a stage."""
    if plan.pep in ("tuned", "kept"):
        return stages.tuning_budget(train, plan.epochs)
    return stages.shorter(train, plan.epochs)


def chosen_score(recipe: Recipe, seed_folder: Path) -> str:
    """The ticket's score; for ``auto`` the best of the trials on validation, earlier in a tie."""
    config = _config(recipe)
    if config.score != "auto":
        return str(config.score)
    places = {s: seed_folder / f"try_{s}" / "result.json" for s in SCORES}
    reached = {
        s: float(required_result(path, Tested)["validation_accuracy"]) for s, path in places.items()
    }
    return max(SCORES, key=lambda s: reached[s])


def _attach(
    plan: Plan, model: SpikingTransformer, recipe: Recipe, seed: int, seed_folder: Path
) -> Trainee:
    config, binary = _config(recipe), recipe.model.weights == "binary"
    pep, encoder = model.conv_pep, model.encoder
    normal = WeightStart("kaiming_normal")
    weights, train = recipe.train.weights, recipe.train
    if plan.pep in ("tuned", "kept"):
        layers = _load(model, seed_folder / plan.start / "model.ticket", ("conv_pep.", "encoder."))
        body = attach_kept(encoder, {}, frozen=False)
        inner = attach_kept(pep, layers, frozen=plan.pep == "kept")
        # without its own BatchNorm affine, as the ticket is what stays fixed
        inner = [] if plan.pep == "kept" else inner
        return Trainee(model, body + inner, weights)
    body = attach_trained(encoder, binary=False, seed=seed, start=normal, frozen=False)
    if plan.pep == "dense":
        inner = attach_trained(pep, binary=False, seed=seed, start=normal, frozen=False)
        return Trainee(model, body + inner, weights)
    if plan.pep == "found":
        layers = _load(model, seed_folder / plan.start / "model.ticket", ("conv_pep.",))
        attach_kept(pep, layers, frozen=True)
        return Trainee(model, body + norm_parameters(pep), weights)
    if plan.pep == "searched":
        popup = edge_popup.Config(density=config.density)
        search = edge_popup.attach(pep, popup, binary=binary, seed=seed, epochs=plan.epochs)
        return Trainee(
            model,
            body + norm_parameters(pep),
            weights,
            callbacks=(search,),
            also=(search.parameters(), train.scores),
        )
    frozen = plan.pep == "random_frozen"
    inner = attach_trained(
        pep,
        binary=binary,
        seed=seed,
        start=weight_start(config, binary) if frozen else normal,
        frozen=frozen,
        masks=_random_masks(pep, config.density, seed),
    )
    return Trainee(model, body + (norm_parameters(pep) if frozen else inner), weights)


def _random_masks(pep: nn.Module, density: float, seed: int) -> dict[str, Tensor]:
    shapes = {n: tuple(cast("Tensor", m.weight).shape) for n, m in prunable(pep).items()}
    return random_masks(shapes, _kept_counts(pep, density), Stream(seed, "random mask"))


def _kept_counts(pep: nn.Module, density: float) -> dict[str, int]:
    return {
        name: kept_count(cast("Tensor", layer.weight).numel(), density, f"layer conv_pep.{name}")
        for name, layer in prunable(pep).items()
    }


def _load(model: nn.Module, path: Path, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Copy a ticket's state into a model; its ConvPEP layers by their path in ConvPEP."""
    ticket = Ticket.load(path)
    stages.load_state(model, ticket, path, prefixes)
    inside = [layer for layer in ticket.layers if layer.name.startswith("conv_pep.")]
    return {layer.name.removeprefix("conv_pep."): layer for layer in inside}


def _load_selector(model: SpikingTransformer, path: Path) -> None:
    selector = cast("nn.Module", model.selector)
    ticket, own = Ticket.load(path), selector.state_dict()
    renamed = {k.removeprefix("encoder."): v for k, v in ticket.state().items()}
    # Where fine-tuning gives BatchNorm a scale and a shift, the selector keeps its 1 and 0.
    plain = {k for k in own if k not in renamed and k.endswith(("norm.weight", "norm.bias"))}
    plain |= {k for k in own if k not in renamed and k.startswith("conv_pep.norms.")}
    wanted = [k for k in own if k not in plain]
    missing = [k for k in wanted if k not in renamed or tuple(own[k].shape) != renamed[k].shape]
    tokens = ticket.metadata.get("tokens", {}).get("of", model.tokens)
    if missing or tokens != model.tokens:
        raise UserError(
            f"the selector is for another network or another number of tokens than {model.tokens}",
            where=str(path),
            value=missing[0] if missing else tokens,
        )
    state = {k: torch.from_numpy(renamed[k].copy()) for k in wanted}
    selector.load_state_dict(own | state)


def facts(model: nn.Module, ticket: Ticket) -> dict[str, Any]:
    """Tokens, ConvPEP density, density of the whole net, and dense operations by group."""
    if not isinstance(model, SpikingTransformer):
        return {}
    pep = [layer for layer in ticket.layers if layer.name.startswith("conv_pep.")]
    size, kept = sum(layer.size for layer in pep), sum(layer.kept for layer in pep)
    # The net whose sparsity is stated is the one that classifies, without its selector.
    own = [(n, p) for n, p in model.named_parameters() if not n.startswith("selector.")]
    net = sum(p.numel() for n, p in own if ".parametrizations." not in n)
    net += sum(layer.size for layer in ticket.layers)
    return {
        "tokens": {"kept": model.kept, "of": model.tokens},
        "ranking": model.config.ranking,
        "conv_pep_density": kept / size,
        "net_density": 1 - (size - kept) / net,
        "activation": model.config.activation,
        "macs": model.macs(),
    }


def _config(recipe: Recipe) -> Any:
    return recipe.ticket
