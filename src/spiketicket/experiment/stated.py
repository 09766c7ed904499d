"""What a ticket says of itself, compared with what it holds; needs no data, and no PyTorch but
for the recipe's hash.

Whatever stands in a ticket's metadata was written by whoever made the file, and its digest covers
those words as it covers the masks: it shows damage, not truth. Here is what can be computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import NO_TORCH, UserError, missing_package
from spiketicket.experiment.record import without_root
from spiketicket.methods.densities import kept_counts
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, TicketLayer
from spiketicket.ticket.drawn_signs import signs_searched

if TYPE_CHECKING:
    from spiketicket.recipe import Recipe

State = Literal["fits", "does not fit", "not checked"]
_SCOPES: Final = {
    "edge_popup": "layer",
    "signed_supermask": "layer",
    "random_mask": "layer",
    "synflow": "global",
    "snip": "global",
    "gradual": "global",
    "magnitude": "global",
    "imp": "global",
    "early_bird": "global",
    "random_reinit": "global",
}
"""Method -> what its density is counted over, where its settings do not say."""
_SEARCHED: Final = ("edge_popup", "signed_supermask", "multisp")
"""Methods that train no weight of what they search."""
_PEP: Final = "conv_pep."
_FINAL_STAGES: Final = (
    "ticket",
    "random_trained",
    "random_frozen",
    "ticket_finetuned",
    "ticket_finetune_control",
)
_RUNGS: Final = ("pepsp", "multisp")


@dataclass(frozen=True)
class Check:
    """One thing that a ticket says, and whether it is so."""

    name: str
    state: State
    text: str
    """What was found, or why it cannot be checked here."""

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return asdict(self)


def stated_checks(ticket: Ticket) -> list[Check]:
    """What can be told at once: the digest, the recipe and its hash, the densities."""
    digest = Check(
        "digest", "fits", "it is that of the content; it shows damage, not who made the file"
    )
    return [digest, recipe_check(ticket), words_check(ticket), density_check(ticket)]


def stated_recipe(ticket: Ticket) -> Recipe | None:
    """The recipe in a ticket, without the place of its data; None where there is none.

    A custom network is not imported for it.

    Raises:
        UserError: it is no recipe of this version, or PyTorch is not installed.
        ModuleNotFoundError: what recipes are read with is not installed.
    """
    from spiketicket.recipe import as_written, parse_recipe

    found = ticket.metadata.get("recipe")
    return (
        parse_recipe(as_written(without_root(found)), "recipe") if isinstance(found, dict) else None
    )


def recipe_check(ticket: Ticket) -> Check:
    """Whether the stated hash is the recipe's."""
    name, stated = "recipe hash", ticket.metadata.get("recipe_hash")
    try:
        recipe = stated_recipe(ticket)
    except UserError as error:
        # Every choice of a recipe needs it, so its absence is one of several mistakes.
        missing = next((line for line in str(error).splitlines() if NO_TORCH in line), "")
        text = NO_TORCH if missing else str(error).splitlines()[0]
        return Check(name, "not checked" if missing else "does not fit", text)
    except ModuleNotFoundError as error:
        if missing_package(error) is None:
            raise
        return Check(name, "not checked", NO_TORCH)  # it brings what else is missing
    if recipe is None:
        return Check(name, "not checked", "there is no recipe in it")
    if stated != recipe.hash:
        return Check(name, "does not fit", f"stated is {stated}, that of the recipe {recipe.hash}")
    return Check(name, "fits", f"{stated} is the recipe's")


def words_check(ticket: Ticket) -> Check:
    """Whether what is said twice, in the recipe and beside it, is the same."""
    meta, name = ticket.metadata, "recipe"
    recipe = _table(meta, "recipe")
    if not recipe:
        return Check(name, "not checked", "there is no recipe in it")
    network = _table(meta, "network")
    pairs = {
        "network": (network.get("name"), _table(recipe, "model").get("name")),
        "neuron": (_table(_table(network, "args"), "neuron"), _table(recipe, "neuron")),
        "data": (
            without_root({"data": _table(_table(meta, "data"), "config")}),
            without_root({"data": _table(recipe, "data")}),
        ),
    }
    if ticket.stage == "quantised_ann":
        del pairs["neuron"]  # whose point is another one
    if wrong := [key for key, (beside, inside) in pairs.items() if beside != inside]:
        return Check(name, "does not fit", f"its {', '.join(wrong)} are not those of the ticket")
    return Check(name, "fits", "its network, neuron and data are those of the ticket")


def density_check(ticket: Ticket) -> Check:
    """Whether as many weights are kept as the stated density says: exactly, and rounded half up,
    of each layer or of all of them together, as the method counts.
    """
    name, method = "density", _method(ticket)
    stage, scope = ticket.stage, _scope(method)
    layers: Sequence[TicketLayer] = ticket.layers
    density: Any = method.get("density")
    patch = stage == "patch" and method.get("name") in ("patches", "multisp")
    if stage in ("dense", "quantised_ann") or patch:
        density, scope = 1.0, "layer"
    elif stage not in _FINAL_STAGES and not (scope == "pep" and str(stage).startswith(_RUNGS)):
        scope = ""
    if scope == "pep":
        layers, scope = [layer for layer in layers if layer.name.startswith(_PEP)], "layer"
    if not scope:
        of = method.get("name") or "an unnamed method"
        return Check(name, "not checked", f"no rule for {stage} of {of}")
    spread: Any = method.get("distribution", "uniform") if density != 1 else "uniform"
    try:
        wrong = _miscounted(layers, density, scope, spread)
    except (TypeError, ValueError, InvalidOperation):
        return Check(name, "does not fit", "the recipe states no density from 0 to 1")
    kept, size = sum(layer.kept for layer in layers), sum(layer.size for layer in layers)
    if wrong:
        return Check(name, "does not fit", wrong)
    of = "of each layer" if (scope, spread) == ("layer", "uniform") else "of all layers together"
    return Check(name, "fits", f"{kept:,} of {size:,} are kept, {density:g} {of}")


def _miscounted(layers: Sequence[TicketLayer], density: Any, scope: str, distribution: Any) -> str:
    if type(density) not in (int, float) or not 0 < density <= 1:
        raise ValueError(density)
    counts = [(layer.name, layer.kept, layer.size) for layer in layers]
    if scope == "global":
        counts = [("the ticket", sum(k for _, k, _ in counts), sum(s for _, _, s in counts))]
    spread = {}
    if scope == "layer" and distribution == "erk":
        spread = kept_counts({layer.name: layer.shape for layer in layers}, density, "erk")
    for what, kept, size in counts:
        # As methods/densities.py counts.
        asked = math.floor(Decimal(repr(density)) * size + Decimal("0.5"))
        asked = spread.get(what, asked)
        if kept != asked:
            return f"{what} keeps {kept:,} of {size:,}; density {density:g} asks for {asked:,}"
    return ""


def weights_check(ticket: Ticket) -> Check:
    """Whether the weights that a search never trains are those that the stated seed draws."""
    name, seed = "weights", ticket.metadata.get("seed")
    if type(seed) is not int or not 0 <= seed < 1 << 64:
        return Check(name, "not checked", "it names no seed")
    method, stage = _method(ticket), ticket.stage
    within, signed = _frozen(method, stage), signs_searched(ticket.metadata)
    layers = [
        layer
        for layer in ticket.layers
        if within is not None and layer.name.startswith(within) and layer.kind != "int8"
    ]
    if within is None or not layers:
        what = f"{stage} of {method.get('name')}: trained, not drawn; the seed gives their start"
        return Check(name, "not checked", what)
    for layer in layers:
        try:
            wrong = _not_drawn(layer, layer.name.removeprefix(within), seed, method, signed)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return Check(name, "does not fit", "the settings of its search make no sense")
        if wrong:
            return Check(name, "does not fit", f"{layer.name}: {wrong} seed {seed} draws")
    kinds = " and ".join(
        words
        for kind, words in (
            ("binary", "scales" if signed else "signs and scales"),
            ("float", "sizes of values" if signed else "values"),
        )
        if any(layer.kind == kind for layer in layers)
    )
    rest = len(ticket.layers) - len(layers)
    trained = f"; {rest} other layers are trained" if rest else ""
    chosen = "; their signs are searched" if signed else ""
    told = f"{kinds} of {len(layers)} layers are drawn by seed {seed}{chosen}{trained}"
    return Check(name, "fits", told)


def masks_check(ticket: Ticket) -> Check | None:
    """Whether random masks are those that the stated seed draws; None where they were searched."""
    seed, stage, method = (
        ticket.metadata.get("seed"),
        ticket.stage,
        _method(ticket).get("name"),
    )
    stream = {"random_trained": "random mask", "random_frozen": "random mask"}.get(str(stage))
    if stage == "ticket" and method == "random_mask":
        stream = "random mask ticket"
    if stream is None or method == "multisp" or type(seed) is not int or not 0 <= seed < 1 << 64:
        return None
    for layer in ticket.layers:
        drawn = Stream(seed, stream).child(layer.name).permutation(layer.size)[: layer.kept]
        if not layer.mask.reshape(-1)[drawn].all():
            return Check("masks", "does not fit", f"{layer.name}: not those seed {seed} draws")
    return Check("masks", "fits", f"those of {len(ticket.layers)} layers are drawn by seed {seed}")


def _not_drawn(
    layer: TicketLayer, path: str, seed: int, method: Mapping[str, Any], signed: bool
) -> str:
    """What is not as it was drawn, or ""; where the search chose signs, of their sizes alone."""
    binary = layer.kind == "binary"
    drawn = _drawn(layer, path, seed, binary, method)
    kept = layer.mask.reshape(-1)
    weight = layer.weight().reshape(-1)[kept]
    if not binary:
        size = np.abs if signed else np.positive
        same = np.array_equal(size(weight), size(drawn[kept]))
        return "" if same else "its values are not those that"
    signs = cast("NDArray[np.int8]", layer.signs).reshape(-1)[kept]
    if not signed and not np.array_equal(signs < 0, drawn[kept] < 0):
        return "its signs are not those that"
    scale = float(np.abs(drawn[kept]).sum(dtype=np.float64)) / max(layer.kept, 1)
    fits = layer.kept == 0 or math.isclose(cast("float", layer.alpha), scale, rel_tol=1e-6)
    return "" if fits else "its scale is not that of the weights that"


def _drawn(
    layer: TicketLayer, path: str, seed: int, binary: bool, method: Mapping[str, Any]
) -> NDArray[np.float32]:
    """As ``initial_weight`` of methods/weights.py, flat."""
    usual = "signed_constant" if binary and method.get("name") in _SEARCHED else "kaiming_normal"
    kind = method.get("weight_init") or usual
    scale = float(method["density"]) if method.get("scale_fan") else 1.0
    std = np.float32(math.sqrt(2.0 / (math.prod(layer.shape[1:]) * scale)))
    stream = Stream(seed, "weight", path)
    if kind == "signed_constant":
        return stream.signs(layer.size).astype(np.float32) * std
    return np.asarray(stream.normal(layer.size) * std, np.float32)


def _frozen(method: Mapping[str, Any], stage: object) -> str | None:
    """The beginning of the names of the layers that are never trained, or None for none."""
    name = method.get("name")
    scored = name in ("edge_popup", "signed_supermask") and stage == "ticket"
    if scored or stage == "random_frozen":
        return ""
    ends = (*_RUNGS, *(f"{rung}_{end}" for rung in _RUNGS for end in ("search", "random_frozen")))
    return _PEP if name == "multisp" and stage in ends else None


def _scope(method: Mapping[str, Any]) -> str:
    """``layer``, ``global``, ``pep`` (each layer of ConvPEP), or "" where there is no such rule."""
    name = str(method.get("name"))
    if name == "early_time":
        inner = str(method.get("search", "imp"))
        return _scope({**_table(method, inner), "name": inner}) if inner in _SCOPES else ""
    if name == "multisp":
        return "pep"
    scope = method.get("scope", _SCOPES.get(name, ""))
    return scope if name in _SCOPES and scope in ("layer", "global") else ""


def _method(ticket: Ticket) -> Mapping[str, Any]:
    """The settings of the search: those of the recipe, or of a search without one."""
    return _table(_table(ticket.metadata, "recipe"), "ticket") or _table(ticket.metadata, "method")


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}
