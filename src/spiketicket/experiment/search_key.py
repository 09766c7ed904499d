"""What decides the result of a search, by name, so that a folder is not gone on with by another.

Beside the folders of the trainings lies ``search.json``: every setting, a digest of each module's
code and attributes, of each tensor the search begins with, of the function of the logits, and of
the batches: all those of the first epoch and of the validation, with their labels, in their order.
What is drawn from (seed, epoch) is the same in the later epochs if it is so in the first.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spiketicket.errors import UserError
from spiketicket.experiment.described import UntoldError, describe, digest
from spiketicket.experiment.folder import CHECKPOINT, RESULT
from spiketicket.experiment.loader import Loader, unchanged
from spiketicket.machine.files import json_bytes, read_json, write_json
from spiketicket.models.prunable import prunable

_FILE = "search.json"
_FORMAT = 1
_SHOWN = 4
"""Differences that are named."""
_LONGEST = 40
_DIGEST = re.compile(r"\b[0-9a-f]{32}\b")
Parts = dict[str, Any]


def settled(folder: Path, parts: Parts) -> str:
    """The key of a search whose checkpoints lie in ``folder``.

    Raises:
        UserError: another search has begun there; names what differs.
    """
    file = folder / _FILE
    begun = any(any(folder.glob(f"*/{name}")) for name in (CHECKPOINT, RESULT))
    if begun and (stored := read_json(file)) is not None:
        known = stored.get("parts") if isinstance(stored, dict) else None
        _require_same(folder, known if isinstance(known, dict) else {}, parts)
    write_json(file, {"format": _FORMAT, "parts": parts})
    return hashlib.sha256(json_bytes(parts)).hexdigest()


def of_call(settings: Mapping[str, Any], logits: Any, net: nn.Module) -> Parts:
    """Settings, the function of the logits, and the network's code and attributes.

    Raises:
        UserError: nobody can tell what ``logits`` computes with.
    """
    return {**_of_settings(settings), **_of_logits(logits), **_of_network(net)}


def of_start(net: nn.Module, batches: Loader, validation: Loader | None) -> Parts:
    """The tensors the training begins with, and what it is fed with."""
    return {
        **of_state(net),
        **_of_batches(batches, "loader"),
        **_of_batches(validation, "validation"),
    }


def _of_settings(settings: Mapping[str, Any]) -> Parts:
    """Those in sections as ``section.key``, and the versions a result depends on."""
    versions = {
        "torch": str(torch.__version__),
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
    return _flat({**settings, "version": versions})


def _of_network(net: nn.Module) -> Parts:
    """The code and attributes of every module."""
    names = [(name or "itself", module) for name, module in net.named_modules()]
    return {f"network.{name}": _of_module(module) for name, module in names}


def of_state(net: nn.Module) -> Parts:
    """Every tensor but the weights that are drawn anew, of which it is the shape."""
    drawn = {f"{name}.weight".removeprefix(".") for name in prunable(net)}
    tensors = [*net.named_parameters(), *net.named_buffers()]
    return {
        f"state.{name}": str(list(tensor.shape)) if name in drawn else digest(tensor)
        for name, tensor in tensors
    }


def _of_logits(function: Any) -> Parts:
    """The function that makes logits.

    Raises:
        UserError: it cannot be told from another one.
    """
    if function is None:
        return {"logits": "averaged over time"}
    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        return {"logits": f"{name} {describe(function, strict=True)}"}
    except UntoldError as error:
        raise UserError(
            f"cannot be told from another function: it computes with a {error}",
            where="logits",
            remedy="Leave folder out, or give a function of plain values and tensors",
        ) from error


def _of_batches(loader: Loader | None, where: str) -> Parts:
    """The batches of a first epoch, or of a validation: one pass through all of them."""
    if loader is None:
        return {where: "none"}
    x_digest, y_digest, sizes, kinds = hashlib.sha256(), hashlib.sha256(), [], set()
    with unchanged(loader.source):
        batches: Iterable[tuple[Tensor, Tensor]]
        batches = loader if where == "validation" else loader.epoch(0)
        for x, y in batches:
            plain, shape = x.detach().cpu().contiguous(), list(x.shape)
            x_digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
            y_digest.update(y.detach().cpu().contiguous().numpy().tobytes())
            sizes.append(len(y))
            shape.remove(len(y))
            kinds.add(f"{x.dtype} {shape}")
    runs = [(size, len(list(same))) for size, same in groupby(sizes)]
    return {
        where: "given",
        f"{where}.batches": ", ".join(f"{count} of {size}" for size, count in runs),
        f"{where}.inputs": x_digest.hexdigest()[:32],
        f"{where}.shapes": ", ".join(sorted(kinds)),
        f"{where}.classes": y_digest.hexdigest()[:32],
    }


def _of_module(module: nn.Module) -> str:
    children, parameters, buffers = module._modules, module._parameters, module._buffers
    alone = object.__new__(type(module))
    alone.__dict__.update(module.__dict__, _modules={}, _parameters={}, _buffers={})
    shape = [list(children), list(parameters), list(buffers)]
    return f"{type(module).__name__} {describe([alone, shape], strict=False)}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Parts:
    found: Parts = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return found


def _require_same(folder: Path, there: Parts, here: Parts) -> None:
    keys = [*here, *(key for key in there if key not in here)]
    differing = [k for k in keys if (k in there, there.get(k)) != (k in here, here.get(k))]
    if not differing:
        return
    shown = [f"{k}{_values(there.get(k, ''), here.get(k, ''))}" for k in differing[:_SHOWN]]
    if more := len(differing) - _SHOWN:
        shown += [f"{more} more"] if more > 0 else []
    raise UserError(
        f"holds another search, which differs in {', '.join(shown)}",
        where=str(folder),
        remedy="Give another folder, or delete this one",
    )


def _values(there: Any, here: Any) -> str:
    told = [_DIGEST.sub("", str(value)).strip() for value in (there, here)]
    if told[0] == told[1] or any(len(value) > _LONGEST or not value for value in told):
        return ""
    return f" ({told[0]} there, {told[1]} here)"
