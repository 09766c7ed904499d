"""The recipe of a network and samples that a Python program has in memory.

result = spiketicket.find(model=MyNet(), train=(x, y), test=(x_test, y_test))
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from spiketicket.data import given as data
from spiketicket.data.types import Samples
from spiketicket.errors import UserError
from spiketicket.experiment import search_key
from spiketicket.experiment.custom import Logits
from spiketicket.machine.files import json_bytes
from spiketicket.models import given as models
from spiketicket.models.probe import copied
from spiketicket.recipe import Recipe, load_recipe

_FIXED = (("data", "name"), ("data", "checksum"), ("model", "name"), ("model", "options"))
_BYTES = 255.0
_ROUNDING = 1e-4
_FORM = "Give (x, y): x uint8 [N, C, H, W], or frames [N, T, C, H, W], and whole numbers y [N]"


def given_recipe(
    model: nn.Module,
    train: Any,
    test: Any,
    *,
    classes: tuple[str, ...] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    settings: Mapping[str, Any] | None = None,
    logits: Logits | None = None,
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe, and the options of its network; both are kept in memory for the run.

    The arguments are those of :func:`spiketicket.find`.

    Raises:
        UserError: the samples are none, or do not fit together; a setting is wrong, or is of the
            network or the data; nobody can tell ``logits`` from another function.
    """
    samples = _samples(train, "train"), _samples(test, "test")
    highest = max(int(part.y.max()) for part in samples)
    names = classes or tuple(map(str, range(max(highest + 1, 2))))
    dataset = data.keep(*samples, names)
    net = copied(model)
    parts = search_key.of_call({}, logits, net) | search_key.of_state(net)
    key = hashlib.sha256(json_bytes(parts)).hexdigest()[:32]
    if logits is not None:
        net.register_forward_hook(lambda net, inputs, output: logits(output))
    models.keep(key, net)
    options = {"key": key}
    steps = dataset.frames if dataset.frames > 1 else getattr(model, "timesteps", 1)
    tables: dict[str, Any] = {
        "name": "own",
        "data": {"name": data.INFO.name, "checksum": dataset.checksum},
        "model": {"name": models.NETWORK, "options": options, "timesteps": steps},
        "neuron": {"name": "custom"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": 10, "batch_size": 64},
    }
    recipe = load_recipe(tables, overrides, **(settings or {}))
    for section, key in _FIXED:
        asked = getattr(getattr(recipe, section), key)
        if asked != tables[section][key]:
            what = "follows from the arguments model, train and test"
            raise UserError(what, where=f"{section}.{key}", value=asked)
    return recipe, options


def _samples(given: Any, where: str) -> Samples:
    if isinstance(given, Samples):
        return given
    if isinstance(given, tuple | list) and len(given) == 2:
        x, y = (_array(part, where) for part in given)
    elif hasattr(given, "__len__") and hasattr(given, "__getitem__") and len(given):
        pairs = [given[i] for i in range(len(given))]
        if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
            raise UserError("must give pairs (input, class)", where=where, remedy=_FORM)
        x = np.stack([_array(pair[0], where) for pair in pairs])
        y = np.array([int(pair[1]) for pair in pairs])
    else:
        raise UserError("is no set of samples", where=where, value=_kind(given), remedy=_FORM)
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(x) != len(y):
        shapes = [list(x.shape), f"{y.dtype} {list(y.shape)}"]
        raise UserError("has not one class for each sample", where=where, value=shapes)
    return Samples(_as_bytes(x, where), y.astype(np.int64))


def _array(given: Any, where: str) -> NDArray[Any]:
    if isinstance(given, Tensor):
        return given.detach().cpu().numpy()
    if isinstance(given, np.ndarray | list):
        return np.asarray(given)
    raise UserError("must be an array or a tensor", where=where, value=_kind(given), remedy=_FORM)


def _as_bytes(x: NDArray[Any], where: str) -> NDArray[Any]:
    """Pixels as bytes; floats from 0 to 1 that were bytes become them again."""
    if x.dtype.kind != "f":
        return x
    pixels = x * _BYTES if x.ndim == 4 else x
    whole = np.rint(pixels)
    most = _BYTES if x.ndim == 4 else 65535.0
    exact = np.isfinite(pixels).all() and bool((np.abs(pixels - whole) <= _ROUNDING * most).all())
    if not exact or whole.size == 0 or whole.min() < 0 or whole.max() > most:
        raise UserError(
            "must be bytes, or floats from 0 to 1 that were bytes",
            where=where,
            value=f"{x.dtype}, {float(x.min()):.3g} to {float(x.max()):.3g}" if x.size else "",
            remedy="Leave normalisation out: the training does it, by the training pixels",
        )
    return whole.astype(np.uint8 if most == _BYTES or whole.max() < 256 else np.uint16)


def _kind(value: object) -> str:
    return type(value).__name__
