"""The stages a recipe asks for, from its file alone: to say of a stopped run what is missing.

The order is that of :func:`spiketicket.ladder.arm_names`, which needs PyTorch; a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spiketicket.methods._rounds import search_stages

_SCORES = ("firing_rate", "embedding_norm", "attention_first", "attention_last")
_NO_BIAS = ("convnet", "vgg9")
"""Networks that train nothing but weights, and BatchNorm's affine part where asked."""
RUNGS = ("patch", "pepsp", "multisp")


def table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table under ``key``, or an empty one where there is something else."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


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
    tried = [f"try_{s}" for s in _SCORES] if ticket.get("score") == "auto" else []
    names = ["selector", *dense, *tried]
    rungs = _rungs(recipe)
    for rung in rungs:
        if rung == "patch":
            names += ["patch", *(f"patch_{rule}" for rule in ticket.get("patch_controls", ()))]
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
    rungs = tuple(r for r in ticket.get("rungs", RUNGS[:1]) if r in RUNGS)
    same = "multisp" in rungs and ticket.get("activation") == table(recipe, "neuron").get("name")
    return tuple(r for r in rungs if not (same and r == "pepsp"))
