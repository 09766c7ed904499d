"""The ladder of a transformer's tickets, of which every stage has the same data and budget.

Each is trained from scratch:

dense                    every patch, ConvPEP dense
selector                 a short training of the dense net, for ``ranker = "selector"``
try_<score>              a short patch ticket a score, for ``score = "auto"``
patch, patch_<rule>      the patch ticket, and as many patches kept by each control's rule
pep_search               ConvPEP under a temporary linear head (``search = "two_stage"``)
pepsp, multisp           with the ConvPEP ticket; then also with binary activations
  .._random_trained      a random ConvPEP mask of the same density, weights trained
  .._random_frozen       a random ConvPEP mask on the frozen random weights
  .._shuffled            the ticket's ConvPEP mask shuffled, weights trained
  .._flipped             its ConvPEP with signs flipped by a coin, frozen
  .._inverted            the frozen ConvPEP weights of the smallest scores
<last>_finetuned         the last ticket, its mask fixed, surviving weights trained further
<last>_finetune_control  as many steps for everything but the ticket's ConvPEP
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, Literal, cast

from spiketicket.errors import UserError
from spiketicket.methods.budgets import shorter, tuning_budget
from spiketicket.methods.controls import wanted
from spiketicket.methods.rung_config import CHANGED
from spiketicket.methods.stages import Role, Stage
from spiketicket.models.transformer import TransformerConfig
from spiketicket.recipe import Recipe
from spiketicket.recipe.shapes import RANKER_OF_OLD, is_learned, scores_of

Pep = Literal[
    "dense",
    "searched",
    "found",
    "random_trained",
    "random_frozen",
    "shuffled",
    "flipped",
    "inverted",
    "tuned",
    "kept",
]
"""What ConvPEP is in a stage; ``found``, ``tuned`` and ``kept`` take it from an earlier one,
``shuffled``, ``flipped`` and ``inverted`` what they change of one."""
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
    "ranker",
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
    config = settings_of(recipe)
    asked: tuple[str, ...] = config.rungs
    same = "multisp" in asked and config.activation == recipe.neuron.name
    return tuple(r for r in asked if not (same and r == "pepsp"))


def condition(recipe: Recipe) -> str:
    """What kind of net the recipe is about."""
    config = settings_of(recipe)
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
    config, model = settings_of(recipe), recipe.model
    if not isinstance(model, TransformerConfig):
        raise UserError(
            "needs a network with patches",
            where="ticket.name",
            value=config.name,
            remedy='Use model.name = "spikformer" or "sdt", or ticket.name = "edge_popup"',
        )
    theirs = (model.keep, model.ranking, model.ranker, model.activation)
    if theirs != (1.0, "none", RANKER_OF_OLD, "as_neuron"):
        raise UserError(
            "model.keep, ranking, ranker and activation are set by the ticket",
            where="model",
            remedy="Leave them out; set ticket.keep, score, ranker and activation",
        )
    _check_score(config, model)
    if not config.rungs:
        raise UserError("names no rung", where="ticket.rungs", value=config.rungs)
    tuple(wanted(recipe))  # refuses a control that a ladder cannot have
    found = [*_before(recipe), *(s for rung in rungs(recipe) for s in _rung(recipe, rung))]
    if config.fine_tune_epochs:
        last = rungs(recipe)[-1]
        found += _tuned(recipe, next(stage for stage in found if stage.name == last))
    return tuple(found)


def _check_score(config: Any, model: TransformerConfig) -> None:
    offered = scores_of(config.ranker)
    if config.score not in (*offered, "auto"):
        raise UserError(
            f"is no score of the ranker {config.ranker!r}, which has {', '.join(offered)}",
            where="ticket.score",
            value=config.score,
            remedy="Use one of them, or another ticket.ranker: own or selector",
        )
    if config.ranker == "own" and model.execution != "drop":
        raise UserError(
            "a net that ranks patches by its own ConvPEP must see the whole image",
            where="model.execution",
            value=model.execution,
            remedy='Use "drop", or ticket.ranker = "selector"',
        )


def _before(recipe: Recipe) -> Iterator[Stage]:
    """What comes before the first rung."""
    config, epochs = settings_of(recipe), recipe.train.epochs
    short = _share(config.selector_share, epochs)
    if config.ranker == "selector":
        yield _stage(recipe, "selector", role="preparation", epochs=short, rate_of="dense")
    if recipe.controls.dense:
        yield _stage(recipe, "dense", "dense, trained", role="control", epochs=epochs)
    for score in scores_of(config.ranker) if config.score == "auto" else ():
        name = f"try_{score}"
        yield _stage(
            recipe,
            name,
            role="preparation",
            epochs=short,
            ranking=score,
            rate_of=_patch_rate(config),
        )


def _rung(recipe: Recipe, rung: str) -> Iterator[Stage]:
    """A ticket and its controls."""
    config, epochs, title = settings_of(recipe), recipe.train.epochs, RUNG_TITLES[rung]
    ticket = f"{title} ticket"
    if rung == "patch":
        rate = _patch_rate(config)
        asked: list[tuple[str, str, Role, str]] = [(rung, ticket, "ticket", config.score)]
        asked += [(f"patch_{r}", _PATCH_TITLES[r], "control", r) for r in config.patch_controls]
        for name, words, role, ranking in asked:
            yield _stage(
                recipe,
                name,
                words,
                role,
                rung,
                epochs=epochs,
                ranking=ranking,
                rate_of="" if name == rate else rate,
            )
        return
    activation = config.activation if rung == "multisp" else "as_neuron"
    searched: Pep = "searched"
    start = ""
    if config.search == "two_stage":
        short = _share(config.search_share, epochs)
        start, searched = f"{rung}_search", "found"
        change = {"activation": activation, "depth": 0}
        yield _stage(
            recipe, start, "", "preparation", rung, pep="searched", epochs=short, change=change
        )
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
    for changed, words in CHANGED.items():
        if getattr(controls, changed):
            # where ConvPEP was searched by itself, its scores lie there
            source = start or rung
            yield _stage(
                recipe,
                f"{rung}_{changed}",
                f"{title}, {words}",
                "control",
                rung,
                pep=cast("Pep", changed),
                start=source,
                **same,
            )


def _patch_rate(config: Any) -> str:
    """The stage on which the learning rate of all nets with as many patches is tuned: a control
    where there is one, so that it has at least the ticket's chances.
    """
    return f"patch_{config.patch_controls[0]}" if config.patch_controls else "patch"


def _tuned(recipe: Recipe, last: Stage) -> Iterator[Stage]:
    """The last ticket tuned, and its control."""
    config, title = settings_of(recipe), RUNG_TITLES[last.rung]
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
    rate_of: str = "",
) -> Stage:
    """A stage whose network keeps patches by ``ranking``, with ``change`` of its config."""
    config = settings_of(recipe)
    altered: dict[str, Any] = {"step": "neuron", **(change or {})}
    if ranking != "none":
        altered |= {"keep": config.keep, "ranking": ranking}
    learned = ranking == "auto" or is_learned(ranking)
    if learned:
        altered["ranker"] = config.ranker
    tried = tuple(f"try_{s}" for s in scores_of(config.ranker)) if ranking == "auto" else ()
    selector = ("selector",) if learned and config.ranker == "selector" else ()
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
        rate_of=rate_of,
        keeps_scores=pep == "searched" and bool(getattr(recipe.controls, "inverted", False)),
    )


def _share(share: float, epochs: int) -> int:
    return max(1, math.ceil(round(share * epochs, 9)))


def settings_of(recipe: Recipe) -> Any:
    """The settings of a ladder."""
    return recipe.ticket
