"""Public functions that refuse an argument of a wrong type with words, by their annotations."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import os
import sys
import typing
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Final, Literal, ParamSpec, TypeVar

from spiketicket.errors import UserError, argument

P = ParamSpec("P")
R = TypeVar("R")

_WORDS: Final[Mapping[object, str]] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    os.PathLike: "a path",
    NoneType: "None",
    collections.abc.Callable: "a function",
    collections.abc.Iterable: "something to iterate over",
    collections.abc.Mapping: "a mapping",
    collections.abc.Sequence: "a list",
    dict: "a mapping",
    list: "a list",
    tuple: "a list",
    "ndarray": "a numpy array",
    "Module": "a PyTorch module",
    "Tensor": "a PyTorch tensor",
}
_MAKERS: Final[Mapping[str, str]] = {
    "Recipe": "Read it with spiketicket.load_recipe(path)",
    "Ticket": "Read it with spiketicket.Ticket.load(path)",
    "Reporter": "Derive its class from spiketicket.progress.NullReporter",
    "ndarray": "Use numpy.asarray",
    "Tensor": "Use torch.as_tensor",
}
"""What makes a value of a class of another."""
_LISTS = (collections.abc.Iterable, collections.abc.Sequence, list, tuple)


def typed(function: Callable[P, R]) -> Callable[P, R]:
    """Let ``function`` raise TypeError where an argument is not what its annotation says.

    A scalar of numpy is given on as Python's own, any object with a path is a path, anything to
    iterate over is a list but for a text, and True is no number.
    """

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        signature, hints = _signature(function)
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python says what is missing or not known
        for name, value in given.arguments.items():
            if name in hints:
                given.arguments[name] = _plain(value)
                need(name, given.arguments[name], hints[name])
        return function(*given.args, **given.kwargs)

    return checked


def need(name: str, value: object, kind: Any) -> None:
    """Raise TypeError where ``value``, of the argument ``name``, is not as the annotation ``kind``
    says.
    """
    if _fits(value, kind) or (name == "device" and type(value).__module__ == "torch"):
        return
    wanted = _words(kind)
    makers = {_MAKERS.get(getattr(k, "__name__", ""), "") for k in _choices(kind)}
    remedy = ". ".join(sorted(makers - {""}))
    if not remedy and isinstance(value, str) and {int, float} & {*_choices(kind)}:
        remedy = "Give it without quotes"
    came = "" if value is None else f", not {_article(type(value).__name__)}"
    what = f"must be {wanted}{came}"
    raise TypeError(str(UserError(what, where=argument(name), value=value, remedy=remedy)))


def _plain(value: object) -> object:
    """A scalar of numpy as Python's own, which JSON and exact types take; all else as it is."""
    numpy = sys.modules.get("numpy")  # where it was never imported, nothing is of it
    return value.item() if numpy and isinstance(value, numpy.generic) else value


@functools.cache
def _signature(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    signature = inspect.signature(function)
    varied = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    plain = {name for name, given in signature.parameters.items() if given.kind not in varied}
    hints = typing.get_type_hints(function)
    return signature, {name: hint for name, hint in hints.items() if name in plain}


def _choices(kind: Any) -> tuple[Any, ...]:
    """The kinds that an annotation leaves open."""
    if typing.get_origin(kind) in (typing.Union, UnionType):
        return tuple(one for each in typing.get_args(kind) for one in _choices(each))
    return (kind,)


def _class(kind: Any) -> Any:
    """The class that a value must be an instance of."""
    found = typing.get_origin(kind) or kind
    return os.PathLike if isinstance(found, type) and issubclass(found, os.PathLike) else found


def _fits(value: object, kind: Any) -> bool:
    return any(_fits_one(value, each) for each in _choices(kind))


def _fits_one(value: object, kind: Any) -> bool:
    cls = _class(kind)
    if cls is Any:
        return True
    if cls is Literal:
        return type(value) in {type(each) for each in typing.get_args(kind)}
    if cls is int or cls is float:
        number = numbers.Integral if cls is int else numbers.Real
        return isinstance(value, number) and not isinstance(value, bool)
    if cls in _LISTS:
        return _is_list(value, typing.get_args(kind))
    if getattr(cls, "_is_protocol", False) and cls.__module__ != "collections.abc":
        return all(hasattr(value, name) for name in vars(cls) if not name.startswith("_"))
    return isinstance(value, cls) if isinstance(cls, type) else True


def _is_list(value: object, items: tuple[Any, ...]) -> bool:
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return not isinstance(value, str | bytes) and hasattr(value, "__getitem__")
    one_kind = len(items) == 1 or items[1:] == (...,)
    if one_kind and isinstance(value, list | tuple):
        return all(_fits(each, items[0]) for each in value)
    return True


def _words(kind: Any) -> str:
    """What an annotation asks for."""
    said = list(dict.fromkeys(_words_of(each) for each in _choices(kind)))
    return " or ".join(said)


def _words_of(kind: Any) -> str:
    cls = _class(kind)
    if cls is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    words = _WORDS.get(cls) or _WORDS.get(cls.__name__) or _article(cls.__name__)
    items = typing.get_args(kind)
    if cls in _LISTS and items and items[0] is not Any and isinstance(items[0], type):
        words += f" of {_WORDS.get(_class(items[0]), items[0].__name__).removeprefix('a ')}s"
    return words


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
