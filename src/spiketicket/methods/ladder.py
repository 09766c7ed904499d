"""The stages of a ladder at work: what each trains, and what it takes of earlier ones.

Which stages there are is in ``rungs.py``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.methods import edge_popup
from spiketicket.methods.building import build_network
from spiketicket.methods.densities import kept_count
from spiketicket.methods.masks import inverted_masks, random_masks, shuffled_masks
from spiketicket.methods.rung_config import weight_start
from spiketicket.methods.rungs import Pep, settings_of, stages
from spiketicket.methods.scene import TRAINED_START, Prepared, Scene
from spiketicket.methods.stages import Stage
from spiketicket.methods.states import load_state, read_scores
from spiketicket.methods.weights import (
    attach_kept,
    attach_trained,
    flip_signs,
    flipped_signs,
    norm_parameters,
)
from spiketicket.models.blocks import DataShape
from spiketicket.models.prunable import prunable
from spiketicket.models.transformer import SpikingTransformer, TransformerConfig
from spiketicket.recipe import ModelConfig, Recipe
from spiketicket.recipe.shapes import scores_of
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket
from spiketicket.training.loop import Trainee
from spiketicket.training.optimizer import check_together


def check(recipe: Recipe, shape: DataShape) -> None:
    """Refuse what would fail in a later stage, before the first one is trained.

    Raises:
        UserError: a stage's network cannot be, its ticket would keep nothing, or scores and
            weights have optimizers that do not go together.
    """
    config = settings_of(recipe)
    for stage in stages(recipe):
        network = cast("TransformerConfig", stage.network(recipe))
        rankings = (
            scores_of(network.ranker) if str(network.ranking) == "auto" else (network.ranking,)
        )
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
    tuned = stage.settings["conv_pep"] in ("tuned", "kept")
    prepared = (
        _tune(stage, scene, model) if tuned else Prepared(trainee=_attach(stage, scene, model))
    )
    if stage.settings["conv_pep"] != "dense":
        trainee = replace(prepared.trainee, fresh_statistics=True)
        prepared = replace(prepared, trainee=trainee)
    if scene.keeps_scores:
        prepared = replace(prepared, finish=partial(_keep_scores, scene, prepared.trainee))
    return replace(prepared, model=config)


def _keep_scores(scene: Scene, trainee: Trainee) -> dict[str, Any]:
    for callback in trainee.callbacks:
        if isinstance(callback, edge_popup.EdgePopup):
            scene.keep_scores(callback.scores())
    return {}


def chosen_score(scene: Scene) -> str:
    """For ``auto``, the score whose trial is best on validation, the earlier one in a tie."""
    scores = scores_of(scene.config.ranker)
    reached = {s: scene.earlier(f"try_{s}").validation_accuracy() for s in scores}
    return max(scores, key=lambda s: reached[s])


def _attach(stage: Stage, scene: Scene, model: SpikingTransformer) -> Trainee:
    config, binary, seed = scene.config, scene.binary, scene.seed
    pep, encoder, weights = model.conv_pep, model.encoder, scene.train.weights
    kind: Pep = stage.settings["conv_pep"]
    body = attach_trained(encoder, binary=False, seed=seed, start=TRAINED_START, frozen=False)
    if kind == "dense":
        inner = attach_trained(pep, binary=False, seed=seed, start=TRAINED_START, frozen=False)
        return Trainee(model=model, parameters=body + inner, optimizer=weights)
    if kind in ("found", "flipped"):
        layers = _load(model, scene.earlier(stage.needs[-1]).ticket, ("conv_pep.",))
        if kind == "flipped":
            flip_signs(pep, seed)
        attach_kept(pep, layers, seed=None)
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
    frozen = kind in ("random_frozen", "inverted")
    inner = attach_trained(
        pep,
        binary=binary,
        seed=seed,
        start=weight_start(binary) if frozen else TRAINED_START,
        frozen=frozen,
        masks=_masks(kind, scene, stage, pep),
    )
    return Trainee(
        model=model,
        parameters=body + (norm_parameters(pep) if frozen else inner),
        optimizer=weights,
    )


def _tune(stage: Stage, scene: Scene, model: SpikingTransformer) -> Prepared:
    """A ticket trained on: all of it, or where ConvPEP is kept all but that."""
    layers = _load(model, scene.earlier(stage.needs[-1]).ticket, ("conv_pep.", "encoder."))
    parameters = attach_kept(model.encoder, {}, seed=scene.seed)
    tuned = stage.settings["conv_pep"] == "tuned"
    # Kept, it stays without its own BatchNorm affine, as the ticket is what stays fixed.
    parameters += attach_kept(model.conv_pep, layers, seed=scene.seed if tuned else None)
    trainee = Trainee(model=model, parameters=parameters, optimizer=scene.train.weights)
    if not tuned:
        return Prepared(trainee=trainee)
    return Prepared(trainee=trainee, finish=partial(flipped_signs, model.conv_pep, layers))


def _masks(kind: Pep, scene: Scene, stage: Stage, pep: nn.Module) -> dict[str, Tensor]:
    """The masks of a control of ConvPEP."""
    if kind in ("random_trained", "random_frozen"):
        return _random_masks(pep, scene.config.density, scene.seed)
    files = scene.earlier(stage.needs[-1])
    layers = _inside(Ticket.load(files.ticket))
    masks = {name: torch.from_numpy(layers[name].mask.copy()) for name in prunable(pep)}
    if kind == "shuffled":
        return shuffled_masks(masks, Stream(scene.seed, "shuffled mask"))
    shapes = {name: mask.shape for name, mask in masks.items()}
    return inverted_masks(masks, read_scores(files.scores, shapes))


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
    return _inside(ticket)


def _inside(ticket: Ticket) -> dict[str, Any]:
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
