"""What stages are called, and which of them a recipe asks for by its file alone.

Without PyTorch, so that a report can say of a stopped run what is missing. The order is that of
:func:`spiketicket.methods.ladder.stage_names`, which needs PyTorch; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spiketicket.methods.rounds import search_stages
from spiketicket.recipe.shapes import SCORES

RUNGS = ("patch", "pepsp", "multisp")
"""The tickets of a ladder, in the order they are searched."""
_RUNG_TITLES = {"patch": "patch", "pepsp": "PEPSp", "multisp": "MultiSp"}
_CONTROLS = {
    "random_trained": "random mask trained",
    "random_frozen": "random mask frozen",
    "finetuned": "fine-tuned",
    "finetune_control": "rest trained",
}
_TITLES = {
    "dense": "dense, trained",
    "pretrained": "dense, pretrained",
    "search": "early-bird search",
    "probe": "time step probe",
    "random_trained": "random mask, trained",
    "random_frozen": "random mask, frozen",
    "ticket_finetuned": "ticket, fine-tuned",
    "ticket_finetune_control": "ticket, rest trained",
    "patch_random": "patches, random",
    "patch_fixed": "patches, one random set",
    "patch_center": "patches, center",
    "patch_pixel_energy": "patches, pixel energy",
    **{rung: f"{name} ticket" for rung, name in _RUNG_TITLES.items()},
    **{
        f"{rung}_{control}": f"{name}, {words}"
        for rung, name in _RUNG_TITLES.items()
        for control, words in _CONTROLS.items()
    },
}
_NO_BIAS = ("convnet", "vgg9")
"""Networks that train nothing but weights, and BatchNorm's affine part where asked."""


def title(name: str) -> str:
    """A stage in words."""
    return _TITLES.get(name) or name.replace("_", " ")


def table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table under ``key``, or an empty one where there is something else."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _texts(values: Mapping[str, Any], key: str, usual: Sequence[str] = ()) -> Sequence[str]:
    found = values.get(key, usual)
    return [v for v in found if isinstance(v, str)] if isinstance(found, list | tuple) else usual


def is_ladder(recipe: Mapping[str, Any]) -> bool:
    """Whether the recipe's ticket is one of a transformer's patches."""
    return table(recipe, "ticket").get("name") in ("patches", "multisp")


def expected_stages(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of all stages, in the order they run."""
    controls = table(recipe, "controls")
    wanted = [c for c in ("random_trained", "random_frozen") if controls.get(c, True)]
    dense = ["dense"] if controls.get("dense", True) else []
    if not is_ladder(recipe):
        before = search_stages(table(recipe, "ticket"))
        return (*before, "ticket", *dense, *wanted, *_tuned(recipe))
    ticket = table(recipe, "ticket")
    tried = [f"try_{s}" for s in SCORES] if ticket.get("score") == "auto" else []
    names = ["selector", *dense, *tried]
    rungs = _rungs(recipe)
    for rung in rungs:
        if rung == "patch":
            names += ["patch", *(f"patch_{rule}" for rule in _texts(ticket, "patch_controls"))]
            continue
        searched = [f"{rung}_search"] if ticket.get("search") == "two_stage" else []
        names += [*searched, rung, *(f"{rung}_{control}" for control in wanted)]
    if ticket.get("fine_tune_epochs", 0) and rungs:
        names += [f"{rungs[-1]}_finetuned", f"{rungs[-1]}_finetune_control"]
    return tuple(names)


def _tuned(recipe: Mapping[str, Any]) -> list[str]:
    ticket, model = table(recipe, "ticket"), table(recipe, "model")
    if not ticket.get("fine_tune_epochs", 0):
        return []
    affine = model.get("bn_affine") or ticket.get("fine_tune_bn_affine")
    rest = affine or model.get("name") not in _NO_BIAS
    return ["ticket_finetuned", *(["ticket_finetune_control"] if rest else [])]


def main_stage(recipe: Mapping[str, Any]) -> str:
    """The stage whose net is the run's ticket."""
    return (_rungs(recipe) or ("patch",))[-1] if is_ladder(recipe) else "ticket"


def _rungs(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    ticket = table(recipe, "ticket")
    asked = [r for r in _texts(ticket, "rungs", RUNGS[:1]) if r in RUNGS]
    return distinct_rungs(asked, ticket.get("activation"), table(recipe, "neuron").get("name"))


def distinct_rungs(rungs: Iterable[str], activation: object, neuron: object) -> tuple[str, ...]:
    """The rungs without PEPSp where MultiSp's activation is the network's own: they are the same
    then.
    """
    asked = tuple(rungs)
    same = "multisp" in asked and activation == neuron
    return tuple(r for r in asked if not (same and r == "pepsp"))
