"""The ladder of a transformer's tickets, of which every stage has the same data and budget.

Each is trained from scratch:

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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, cast

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods import edge_popup
from spiketicket.methods.controls import build_network, load_state, shorter, tuning_budget
from spiketicket.methods.masks import kept_count, random_masks
from spiketicket.methods.rung_config import weight_start
from spiketicket.methods.scene import TRAINED_START, Prepared, Scene
from spiketicket.methods.stages import Role, Stage
from spiketicket.methods.weights import attach_kept, attach_trained, norm_parameters
from spiketicket.models.blocks import DataShape
from spiketicket.models.prunable import prunable
from spiketicket.models.transformer import SpikingTransformer, TransformerConfig
from spiketicket.recipe import ModelConfig, Recipe
from spiketicket.recipe.shapes import SCORES
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Trainee
from spiketicket.training.optimizer import check_together

Pep = Literal["dense", "searched", "found", "random_trained", "random_frozen", "tuned", "kept"]
"""What ConvPEP is in a stage; ``found``, ``tuned`` and ``kept`` take it from an earlier one."""
RUNG_TITLES: Final = {"patch": "patch", "pepsp": "PEPSp", "multisp": "MultiSp"}
_PATCH_TITLES = {
    "random": "patches, random",
    "fixed": "patches, one random set",
    "center": "patches, center",
    "pixel_energy": "patches, pixel energy",
}
_READ = (
    "name",
    "keep",
    "score",
    "selector_share",
    "patch_controls",
    "fine_tune_epochs",
    "fine_tune_bn_affine",
    "search",
    "search_share",
    "activation",
    "rungs",
)
"""Settings that a stage has in its network, its schedule, its needs, or in there being it."""


def rungs(recipe: Recipe) -> tuple[str, ...]:
    """The tickets of the ladder, each once: PEPSp not where MultiSp's activation is the network's
    own, as they are the same then.
    """
    config = _config(recipe)
    asked: tuple[str, ...] = config.rungs
    same = "multisp" in asked and config.activation == recipe.neuron.name
    return tuple(r for r in asked if not (same and r == "pepsp"))


def condition(recipe: Recipe) -> str:
    """What kind of net the recipe is about."""
    config = _config(recipe)
    kind = {"lif": "spiking", "relu": "ANN"}.get(recipe.neuron.name, recipe.neuron.name)
    parts = [f"{kind} {recipe.model.name}", f"keep {config.keep:g}"]
    last = rungs(recipe)[-1]
    if last != "patch":
        parts.append(f"{recipe.model.weights} ConvPEP at density {config.density:g}")
    if last == "multisp":
        parts.append(f"{config.activation} inside it")
    return ", ".join(parts)


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a ladder.

    Raises:
        UserError: the network has no patches, or a field of the model is the ladder's to set.
    """
    config, model = _config(recipe), recipe.model
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
    found = [*_before(recipe), *(s for rung in rungs(recipe) for s in _rung(recipe, rung))]
    if config.fine_tune_epochs:
        last = rungs(recipe)[-1]
        found += _tuned(recipe, next(stage for stage in found if stage.name == last))
    return tuple(found)


def _before(recipe: Recipe) -> Iterator[Stage]:
    """What comes before the first rung."""
    config, epochs = _config(recipe), recipe.train.epochs
    short = _share(config.selector_share, epochs)
    yield _stage(recipe, "selector", role="preparation", epochs=short)
    if recipe.controls.dense:
        yield _stage(recipe, "dense", "dense, trained", role="control", epochs=epochs)
    for score in SCORES if config.score == "auto" else ():
        yield _stage(recipe, f"try_{score}", role="preparation", epochs=short, ranking=score)


def _rung(recipe: Recipe, rung: str) -> Iterator[Stage]:
    """A ticket and its controls."""
    config, epochs, title = _config(recipe), recipe.train.epochs, RUNG_TITLES[rung]
    ticket = f"{title} ticket"
    if rung == "patch":
        yield _stage(recipe, rung, ticket, "ticket", rung, epochs=epochs, ranking=config.score)
        for rule in config.patch_controls:
            name = f"patch_{rule}"
            yield _stage(
                recipe, name, _PATCH_TITLES[rule], "control", rung, epochs=epochs, ranking=rule
            )
        return
    activation = config.activation if rung == "multisp" else "as_neuron"
    searched: Pep = "searched"
    start = ""
    if config.search == "two_stage":
        short = _share(config.search_share, epochs)
        start, searched = f"{rung}_search", "found"
        change = {"activation": activation, "depth": 0}
        role: Role = "preparation"
        yield _stage(recipe, start, "", role, rung, pep="searched", epochs=short, change=change)
    same: dict[str, Any] = {
        "epochs": epochs,
        "ranking": config.score,
        "change": {"activation": activation},
    }
    yield _stage(recipe, rung, ticket, "ticket", rung, pep=searched, start=start, **same)
    controls = recipe.controls
    if controls.random_trained:
        name, words = f"{rung}_random_trained", f"{title}, random mask trained"
        yield _stage(recipe, name, words, "control", rung, pep="random_trained", **same)
    if controls.random_frozen:
        name, words = f"{rung}_random_frozen", f"{title}, random mask frozen"
        yield _stage(recipe, name, words, "control", rung, pep="random_frozen", **same)


def _tuned(recipe: Recipe, last: Stage) -> Iterator[Stage]:
    """The last ticket tuned, and its control."""
    config, title = _config(recipe), RUNG_TITLES[last.rung]
    network = cast("TransformerConfig", last.network(recipe))
    change: dict[str, Any] = {"activation": network.activation}
    change |= {"bn_affine": True} if config.fine_tune_bn_affine else {}
    train = tuning_budget(recipe.train, config.fine_tune_epochs)
    pairs: tuple[tuple[str, str, Pep], ...] = (
        ("finetuned", "fine-tuned", "tuned"),
        ("finetune_control", "rest trained", "kept"),
    )
    for name, words, pep in pairs:
        stage = _stage(
            recipe,
            f"{last.name}_{name}",
            f"{title}, {words}",
            "tuned",
            last.rung,
            pep=pep,
            epochs=config.fine_tune_epochs,
            ranking=config.score,
            start=last.name,
            change=change,
        )
        yield replace(stage, train=train)


def _stage(
    recipe: Recipe,
    name: str,
    title: str = "",
    role: Role = "control",
    rung: str = "",
    *,
    epochs: int,
    pep: Pep = "dense",
    ranking: str = "none",
    start: str = "",
    change: dict[str, Any] | None = None,
) -> Stage:
    """A stage whose network keeps patches by ``ranking``, with ``change`` of its config."""
    config = _config(recipe)
    altered: dict[str, Any] = {"step": "neuron", **(change or {})}
    if ranking != "none":
        altered |= {"keep": config.keep, "ranking": ranking}
    tried = tuple(f"try_{s}" for s in SCORES) if ranking == "auto" else ()
    selector = ("selector",) if ranking in SCORES or ranking == "auto" else ()
    masked = pep in ("searched", "random_trained", "random_frozen")
    return Stage(
        name=name,
        title=title,
        role=role,
        rung=rung,
        model=recipe.model.model_copy(update=altered),
        train=shorter(recipe.train, epochs),
        trains=("scores", "weights") if pep == "searched" else ("weights",),
        needs=(*selector, *tried, *((start,) if start else ())),
        ignores=_READ if masked else (*_READ, "density"),
        settings={"conv_pep": pep},
    )


def _share(share: float, epochs: int) -> int:
    return max(1, math.ceil(round(share * epochs, 9)))


def check(recipe: Recipe, shape: DataShape) -> None:
    """Refuse what would fail in a later stage, before the first one is trained.

    Raises:
        UserError: a stage's network cannot be, its ticket would keep nothing, or scores and
            weights have optimizers that do not go together.
    """
    config = _config(recipe)
    for stage in stages(recipe):
        network = cast("TransformerConfig", stage.network(recipe))
        rankings = SCORES if str(network.ranking) == "auto" else (network.ranking,)
        for ranking in rankings:
            with torch.device("meta"):
                made = build_network(recipe, shape, _ranked(network, ranking, recipe.seed))
        model = cast("SpikingTransformer", made)
        if stage.settings["conv_pep"] not in ("dense", "tuned", "kept"):
            _kept_counts(model.conv_pep, config.density)
        if stage.settings["conv_pep"] == "searched":
            check_together(recipe.train.weights, recipe.train.scores)


def _ranked(network: ModelConfig, ranking: str, seed: int) -> ModelConfig:
    """The network with its ranking found, whose random choices are the seed's."""
    if ranking == "none":
        return network
    return network.model_copy(update={"ranking": ranking, "ranking_seed": seed})


def prepare(stage: Stage, scene: Scene) -> Prepared:
    """Build a stage's network and attach what it trains.

    Raises:
        UserError: as the network and the method, for what does not fit.
    """
    network = cast("TransformerConfig", scene.model_config)
    ranking = str(network.ranking)
    config = _ranked(network, chosen_score(scene) if ranking == "auto" else ranking, scene.seed)
    scene = replace(scene, model_config=config)
    model = cast("SpikingTransformer", scene.model)
    if model.selector is not None:
        _load_selector(model, scene.earlier("selector").ticket)
    trainee = _attach(stage, scene, model)
    if stage.settings["conv_pep"] != "dense":
        trainee = replace(trainee, fresh_statistics=True)
    return Prepared(trainee=trainee, model=config)


def chosen_score(scene: Scene) -> str:
    """For ``auto``, the score whose trial is best on validation, the earlier one in a tie."""
    reached = {s: scene.earlier(f"try_{s}").validation_accuracy() for s in SCORES}
    return max(SCORES, key=lambda s: reached[s])


def _attach(stage: Stage, scene: Scene, model: SpikingTransformer) -> Trainee:
    config, binary, seed = scene.config, scene.binary, scene.seed
    pep, encoder, weights = model.conv_pep, model.encoder, scene.train.weights
    kind: Pep = stage.settings["conv_pep"]
    if kind in ("tuned", "kept"):
        layers = _load(model, scene.earlier(stage.needs[-1]).ticket, ("conv_pep.", "encoder."))
        body = attach_kept(encoder, {}, frozen=False)
        inner = attach_kept(pep, layers, frozen=kind == "kept")
        # without its own BatchNorm affine, as the ticket is what stays fixed
        inner = [] if kind == "kept" else inner
        return Trainee(model=model, parameters=body + inner, optimizer=weights)
    body = attach_trained(encoder, binary=False, seed=seed, start=TRAINED_START, frozen=False)
    if kind == "dense":
        inner = attach_trained(pep, binary=False, seed=seed, start=TRAINED_START, frozen=False)
        return Trainee(model=model, parameters=body + inner, optimizer=weights)
    if kind == "found":
        layers = _load(model, scene.earlier(stage.needs[-1]).ticket, ("conv_pep.",))
        attach_kept(pep, layers, frozen=True)
        return Trainee(model=model, parameters=body + norm_parameters(pep), optimizer=weights)
    if kind == "searched":
        popup = edge_popup.Config(density=config.density)
        epochs = scene.train.epochs
        search = edge_popup.attach(pep, popup, binary=binary, seed=seed, epochs=epochs)
        return Trainee(
            model=model,
            parameters=body + norm_parameters(pep),
            optimizer=weights,
            callbacks=(search,),
            also=(search.parameters(), scene.train.scores),
        )
    frozen = kind == "random_frozen"
    inner = attach_trained(
        pep,
        binary=binary,
        seed=seed,
        start=weight_start(binary) if frozen else TRAINED_START,
        frozen=frozen,
        masks=_random_masks(pep, config.density, seed),
    )
    return Trainee(
        model=model,
        parameters=body + (norm_parameters(pep) if frozen else inner),
        optimizer=weights,
    )


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
    load_state(model, ticket, path, prefixes)
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


def _config(recipe: Recipe) -> Any:
    return recipe.ticket
