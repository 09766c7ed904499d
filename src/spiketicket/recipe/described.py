"""Types, limits and docstrings of a recipe's fields, in words."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from spiketicket.recipe.toml import toml_text

_KINDS: Final[Mapping[object, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dict: "table",
    Any: "any value",
}
_PLURALS: Final = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
_OPEN: Final = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
_ROLE: Final = re.compile(r":\w+:`[~.]?([^`]*)`")


def described(kind: Any, metadata: tuple[Any, ...] = ()) -> tuple[str, str]:
    """A type and its limits in words."""
    if get_origin(kind) is not None and hasattr(kind, "__metadata__"):
        return described(kind.__origin__, (*kind.__metadata__, *metadata))
    limits = _limits(metadata)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        *most, last = (toml_text(part) for part in parts)
        return " or ".join(filter(None, (", ".join(most), last))), limits
    if origin in (Union, types.UnionType):
        inner = [described(part, metadata) for part in parts if part is not type(None)]
        return " or ".join(text for text, _ in inner), next((r for _, r in inner if r), "")
    if origin is tuple:
        return _list(parts, limits)
    return _KINDS.get(origin or kind, getattr(kind, "__name__", str(kind))), limits


def _list(parts: tuple[Any, ...], limits: str) -> tuple[str, str]:
    endless = len(parts) == 2 and parts[1] is Ellipsis
    inner = [described(part) for part in (parts[:1] if endless else parts)]
    same = len(set(inner)) == 1
    kind, each = inner[0]
    each = f"each {each}" if each else ""
    if same:
        count = "" if endless else f"{len(parts)} "
        text = f"list of {count}{_PLURALS.get(kind, kind)}"
        return text, ", ".join(filter(None, (limits, each)))
    return f"[{', '.join(f'{kind} {limit}'.strip() for kind, limit in inner)}]", limits


def _limits(metadata: tuple[Any, ...]) -> str:
    """Bounds, the narrowest of each kind; the ends of ranges read best as "from a to b"."""
    bounds: dict[str, Any] = {}
    for limit in metadata:
        for name, _ in _OPEN:
            value = getattr(limit, name, None)
            if value is not None:
                narrow = max if name in ("gt", "ge") else min
                bounds[name] = narrow(bounds.get(name, value), value)
    texts = []
    if {*bounds} == {"ge", "le"}:
        ends = [_number(bounds["ge"]), _number(bounds["le"])]
        texts = [f"from {ends[0]} to {ends[1]}" if ends[0] != ends[1] else ends[0]]
    elif bounds:
        pairs = (f"{sign} {_number(bounds[n])}" for n, sign in _OPEN if n in bounds)
        texts = [" and ".join(pairs)]
    for limit in metadata:
        least, most = getattr(limit, "min_length", None), getattr(limit, "max_length", None)
        if isinstance(most, int) and least == most:
            texts.append(f"{most} entries")
        elif isinstance(most, int):
            texts.append(f"at most {most} entries" if hasattr(limit, "__match_args__") else "")
        if pattern := getattr(limit, "pattern", None):
            texts.append(f"matches {pattern}")
    return ", ".join(filter(None, texts))


def _number(value: Any) -> str:
    whole = isinstance(value, int) or float(value).is_integer()
    return f"{int(value):,}" if whole else f"{value:g}"


@functools.cache
def documented(model: type[BaseModel]) -> Mapping[str, str]:
    """Docstrings below the fields of a class and of those it derives from."""
    found: dict[str, str] = {}
    for owner in model.__mro__:
        for key, text in _written(owner).items():
            found.setdefault(key, text)
    return found


@functools.cache
def _written(owner: type) -> Mapping[str, str]:
    if not owner.__module__.startswith(f"{__name__.partition('.')[0]}."):
        return {}
    try:
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(owner)))
    except (OSError, SyntaxError, TypeError):  # made while the program runs, or without its source
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


@functools.cache
def summary(file: Path) -> str:
    """The first sentence of a file's docstring; the file is not imported."""
    whole = ast.get_docstring(ast.parse(file.read_bytes())) or ""
    return plain_text(whole.partition("\n\n")[0]).removesuffix(".")


def plain_text(text: str) -> str:
    """A docstring in one line, without the marks of its markup."""
    return _ROLE.sub(r"\1", " ".join(text.split())).replace("``", "")
