"""The files of a run folder as any program may have left them: read whole and right, or refused.

``result.json`` of a run and of a stage carries its own ``digest``, the sha256 of everything else
in it, so that an edit or half a copy shows. A file of an earlier version has none and is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from spiketicket.errors import UserError
from spiketicket.machine.bounded import read_regular
from spiketicket.machine.files import read_json, write_json
from spiketicket.verdict.outcomes import of_today

M = TypeVar("M", bound=BaseModel)
DIGEST: Final = "digest"
MAX_PREDICTIONS: Final = 1 << 30
"""Bytes of a ``predictions.npy``; 8 a test sample."""


def write_result(path: Path, value: Mapping[str, Any]) -> None:
    """Write a ``result.json`` with its digest, atomically."""
    # Through JSON, so that what is hashed is what is read back.
    plain = json.loads(json.dumps(value))
    write_json(path, {**plain, DIGEST: _digest(plain)})


def read_result(path: Path, kind: type[BaseModel] | None = None) -> dict[str, Any] | None:
    """What :func:`write_result` wrote, without the digest; None where there is no file.

    ``kind`` is what it has to be; unknown keys are left alone.

    Raises:
        UserError: it is damaged, or was changed by hand; names the field.
    """
    value = read_json(path)
    if value is None:
        return None
    value = checked_result(value, path)
    if kind is not None:
        _checked(value, kind, path)
    return value


def checked_result(value: Any, path: Path) -> dict[str, Any]:
    """The content of a ``result.json`` without its digest, in the words of this version.

    It is refused where it is no table or not what its digest says.

    Raises:
        UserError: so.
    """
    if not isinstance(value, dict):
        raise _damaged(path, "is no table")
    rest = {key: inner for key, inner in value.items() if key != DIGEST}
    if DIGEST in value and value[DIGEST] != _digest(rest):
        raise _damaged(path, "its content does not match its digest")
    words: dict[str, Any] = _in_todays_words(rest)
    return words


_FORMERLY: Final = {"arm": "stage", "arms": "stages"}
"""Keys that a file of version 0.2 or earlier has."""


def _in_todays_words(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_todays_words(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    known = {_FORMERLY.get(key, key): inner for key, inner in value.items()}
    if isinstance(known.get("verdict"), dict):
        known["verdict"] = of_today(known["verdict"])
    return known | ({"stages": _in_todays_words(known["stages"])} if "stages" in known else {})


Kinds = Mapping[str, type[Any] | tuple[type[Any], ...]]
"""What a table has to hold: keys, and the types of their values."""


def read_table(path: Path, kinds: Kinds) -> dict[str, Any]:
    """A small JSON file that has to hold these keys with values of these types.

    Raises:
        UserError: it is missing or damaged; names the key.
    """
    value = read_json(path)
    if value is None:
        raise _damaged(path, "is missing", prefix="")
    if not isinstance(value, dict):
        raise _damaged(path, "is no table")
    for key, kind in kinds.items():
        if not isinstance(value.get(key), kind):
            raise _damaged(path, f"has no sound {key}")
    return dict(value)


def required_result(path: Path, kind: type[BaseModel]) -> dict[str, Any]:
    """As :func:`read_result`, of a file that has to be there."""
    value = read_result(path, kind)
    if value is None:
        raise _damaged(path, "is missing", prefix="")
    return value


def filled_result(path: Path, kind: type[BaseModel]) -> dict[str, Any]:
    """As :func:`required_result`; what may be left out, as an earlier version did, is filled in."""
    value = required_result(path, kind)
    filled: dict[str, Any] = _filled(value, kind.model_validate(value))
    return filled


def _filled(value: Any, checked: Any) -> Any:
    if isinstance(checked, BaseModel):
        known = {key: getattr(checked, key) for key in type(checked).model_fields}
        usual = {k: v for k, v in known.items() if k not in value}
        return usual | {k: _filled(v, known.get(k)) for k, v in value.items()}
    if isinstance(checked, dict):
        return {key: _filled(inner, checked[key]) for key, inner in value.items()}
    if isinstance(checked, list):
        return [_filled(*both) for both in zip(value, checked, strict=True)]
    return value


def read_predictions(path: Path, count: int | None = None) -> NDArray[np.int64]:
    """Predicted classes, int64 [N]; N is ``count`` where that is given.

    Raises:
        UserError: it is missing, cut off, or not one whole number a sample.
    """
    try:
        content = read_regular(path, MAX_PREDICTIONS)
        found = _whole_numbers(content)
        if count is not None and len(found) != count:
            raise ValueError(f"{len(found)} predictions for {count} samples")
    except FileNotFoundError as error:
        raise _damaged(path, "is missing", prefix="") from error
    except UserError:
        raise
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return found


def _whole_numbers(content: bytes) -> NDArray[np.int64]:
    """The array of a .npy file, whose header is not believed."""
    file = io.BytesIO(content)
    try:
        version = npy.read_magic(file)
        shape, _, dtype = {(1, 0): npy.read_array_header_1_0}[version](file)
    # numpy raises errors of many types on damaged headers.
    except Exception as error:
        raise ValueError("no header of a .npy file") from error
    if dtype.kind not in "iu" or len(shape) != 1 or shape[0] < 1:
        raise ValueError("not one class per sample")
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError("another size than its header says")
    return np.frombuffer(content, dtype, offset=file.tell()).astype(np.int64)


def _checked(value: Any, kind: type[M], path: Path) -> M:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        what = first["msg"].lower().removeprefix("value error, ")
        raise _damaged(path, f"{where}: {what}" if where else what) from error


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: Path, what: str, *, prefix: str = "is damaged: ") -> UserError:
    remedy = f"Delete {path.parent} to run this again"
    if not _is_stage(path.parent):
        remedy = f"Delete {path} to compute it again"
    return UserError(f"{prefix}{what}", where=str(path), remedy=remedy)


def _is_stage(folder: Path) -> bool:
    return folder.parent.name.startswith("seed-")
