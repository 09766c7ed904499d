"""Text that says what a function or an object computes with, the same in every process.

Of a function: its code with constants and names, its defaults, its closure, and the plain values,
functions and classes it names. Of an object: its class's functions and its attributes. Functions
and classes of installed packages are their name.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_NAMED = (types.ModuleType, types.BuiltinFunctionType, types.MethodDescriptorType)
_TOLD = (Tensor, np.ndarray, tuple, list, dict, types.FunctionType, type)
_OF_EVERY_CLASS = ("__module__", "__doc__", "__qualname__", "__firstlineno__")
_PYTHON_OBJECT = object.__basicsize__ + 2 * tuple.__itemsize__
"""Bytes of an object whose class is all Python's: with its ``__dict__`` and weak references."""
_INSTALLED = tuple({sysconfig.get_path(k) for k in ("stdlib", "platstdlib", "purelib", "platlib")})


class UntoldError(Exception):
    """Of this value nobody can tell what it computes with."""


def describe(value: object, *, strict: bool) -> str:
    """A digest of what a function or object computes with.

    ``strict`` raises for what cannot be told; otherwise such a part is its type's name.

    Raises:
        UntoldError: names the part.
    """
    text = _Describer(strict).text(value)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def digest(tensor: Tensor) -> str:
    """Of a tensor's type, shape and bytes."""
    plain = tensor.detach().cpu().contiguous()
    content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    head = f"{plain.dtype} {list(plain.shape)} ".encode()
    return hashlib.sha256(head + content).hexdigest()[:32]


class _Describer:
    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.seen: dict[int, int] = {}
        self.kept: list[object] = []  # so that no other object gets the id of one of them
        self.at_once = (
            (enum.Enum | np.generic, lambda v: f"{_name(type(v))} {v!r}"),
            (_PLAIN, repr),
            (Tensor, lambda v: f"tensor {digest(v)}"),
            (_NAMED, lambda v: f"named {_name(v)}"),
        )
        self.by_parts = (
            (np.ndarray, self._array),
            (tuple | list, lambda v: f"{_name(type(v))}({self._all(v)})"),
            (dict, lambda v: f"{_name(type(v))}({self._all([*v.keys(), *v.values()])})"),
            (set | frozenset, lambda v: f"set({sorted(map(self.text, v))})"),
            (types.CodeType, self._code),
            (types.FunctionType, self._function),
            (types.MethodType, lambda v: f"method({self._all([v.__func__, v.__self__])})"),
            (functools.partial, lambda v: f"partial({self._all([v.func, v.args, v.keywords])})"),
            (type, self._class),
            (object, self._object),
        )

    def text(self, value: object) -> str:
        for kinds, how in self.at_once:
            if isinstance(value, kinds):
                return how(value)
        if id(value) in self.seen:
            return f"again {self.seen[id(value)]}"
        self.seen[id(value)] = len(self.seen)
        self.kept.append(value)
        way: Callable[[Any], str] = next(
            w for kinds, w in self.by_parts if isinstance(value, kinds)
        )
        return way(value)

    def _all(self, values: Iterable[object]) -> str:
        return ", ".join(map(self.text, values))

    def _array(self, array: np.ndarray[Any, Any]) -> str:
        if array.dtype == object:
            return f"objects({self._all(array.ravel())})"
        content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return f"array {array.dtype} {array.shape} {content}"

    def _code(self, code: types.CodeType) -> str:
        names = f"{code.co_names} {code.co_varnames} {code.co_freevars}"
        return f"code {code.co_code.hex()} {self._all(code.co_consts)} {names}"

    def _function(self, function: types.FunctionType) -> str:
        code = function.__code__
        if _is_installed(code.co_filename):
            # Its code is its version's, what it closes over is not.
            parts: list[object] = [_name(function)]
        else:
            parts = [code, self._named(function)]
        parts += [function.__defaults__, function.__kwdefaults__]
        for cell in function.__closure__ or ():
            try:
                parts.append(cell.cell_contents)
            except ValueError:
                parts.append("a name that has no value yet")
        return f"function({self._all(parts)})"

    def _named(self, function: types.FunctionType) -> list[object]:
        """What a function means by its global names; of objects, unless strict, their type."""
        found: list[object] = []
        for name in sorted(_names(function.__code__) & function.__globals__.keys()):
            value = function.__globals__[name]
            told = self.strict or isinstance(value, (*_PLAIN, *_NAMED, *_TOLD))
            found += [name, value if told else type(value)]
        return found

    def _class(self, kind: type) -> str:
        """Name and functions of a class and those it is made from, but for installed ones."""
        found: list[object] = []
        for part in kind.__mro__:
            file = getattr(sys.modules.get(part.__module__), "__file__", None)
            found.append(_name(part))
            if (file is None and part.__module__ != "__main__") or (file and _is_installed(file)):
                continue
            for name, member in sorted(vars(part).items()):
                inner = getattr(member, "__func__", getattr(member, "fget", member))
                if isinstance(inner, (types.FunctionType, *_PLAIN)) and name not in _OF_EVERY_CLASS:
                    found += [name, inner]
        return f"class({self._all(found)})"

    def _object(self, value: Any) -> str:
        kind, attributes = type(value), getattr(value, "__dict__", None)
        if attributes is None or kind.__basicsize__ > _PYTHON_OBJECT:
            # It keeps something in C or in slots.
            if self.strict:
                raise UntoldError(_name(kind))
            return f"some {_name(kind)}"
        held: list[object] = [attributes]
        if isinstance(value, nn.Module):
            own = {k: v for k, v in attributes.items() if k not in _OF_EVERY_MODULE}
            hooks = [list(attributes[key].values()) for key in _HOOKS]
            held = [own, hooks, value._parameters, value._buffers, value._modules]
        return f"object({self._all([kind, *held])})"


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*inner)


def _is_installed(file: str) -> bool:
    return file.startswith((*_INSTALLED, "<frozen")) or "site-packages" in file


def _name(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", "")
    return f"{getattr(value, '__module__', None) or ''}.{name}"
