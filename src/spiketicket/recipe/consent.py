"""Whose code may be run: a custom network is imported only where you named it yourself.

A ticket, a recipe and the recipe in a run folder may come from anybody, and ``module:function``
in one could be any function on this machine. So the name in a file is only ever compared with the
one that the user gave: the argument ``network``, or an entry in the user's own file

    trust = ["mynet:make"]      # config.toml in platformdirs' user_config_dir("spiketicket")

which holds for recipes. The function's arguments in a file (``model.options``) are compared too:
with those that the user gave, unless the user trusts those of the file.

This is the one place that decides; :func:`spiketicket.models.custom.build` asks it.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError, argument
from spiketicket.machine.bounded import open_regular
from spiketicket.machine.private import why_not_private
from spiketicket.recipe import registry
from spiketicket.recipe.toml import MAX_BYTES, parse_toml

_MOST_SHOWN = 1000


@dataclass(frozen=True)
class Consent:
    """What the user named: a custom network, and the arguments of its function.

    ``options`` None are none given. With ``trust_options`` those of the file are taken.
    """

    network: str = ""
    options: Mapping[str, Any] | None = None
    trust_options: bool = False

    def __post_init__(self) -> None:
        if not self.network and (self.options is not None or self.trust_options):
            extra = "trust_options" if self.options is None else "options"
            raise UserError(f"goes with {argument('network')} only", where=argument(extra))
        if self.network and not registry.is_custom(self.network):
            raise UserError(
                "names no custom network",
                where=argument("network"),
                value=self.network,
                remedy="It is module:function",
            )

    def require_options(self, stated: Mapping[str, Any], where: str = "model.options") -> None:
        """Refuse arguments in a file that the user has not confirmed.

        Raises:
            UserError: shows those of the file, and says how to confirm them.
        """
        given = self.options
        if (self.trust_options and given is None) or _text(given or {}) == _text(stated):
            return
        yours = "" if given is None else f"You gave {dict(given)}. "
        raise UserError(
            "arguments that you have not confirmed" if stated else "states no arguments",
            where=where,
            value=dict(stated),
            remedy=yours
            + (self._repeating(stated) if stated else f"Leave out {argument('options')}"),
        )

    def _repeating(self, stated: Mapping[str, Any]) -> str:
        repeated = argument("options", dict(sorted(stated.items())))
        if len(repeated) > _MOST_SHOWN:
            repeated = f"all of them, as {argument('options')}"
        return (
            f"If they may be handed to {self.network}, repeat them: {repeated}, or say"
            f" {argument('trust_options', True)}"
        )


_GIVEN: ContextVar[tuple[Consent, ...]] = ContextVar("consent", default=())


@contextlib.contextmanager
def given(consent: Consent | None) -> Iterator[None]:
    """Inside, the user's consent holds: for this thread, and what is handed it on purpose."""
    added = (consent,) if consent is not None and consent.network else ()
    token = _GIVEN.set((*_GIVEN.get(), *added))
    try:
        yield
    finally:
        _GIVEN.reset(token)


def require(name: str, options: Mapping[str, Any]) -> bool:
    """Refuse to run the function ``name`` of a recipe unless the user named it.

    Returns whether it was named for this call, and not in the user's file: only then may it be
    looked for in the current folder, which may be the recipe's.

    Raises:
        UserError: the name or the arguments are not the user's; says what to do.
    """
    for consent in reversed(_GIVEN.get()):
        if consent.network == name:
            consent.require_options(options)
            return True
    if name in trusted():
        return False
    raise UserError(
        "is a custom network: its code would be run",
        where="model.name",
        value=name,
        remedy=f"If you trust that function, say so: {argument('network', name)},"
        f' or trust = ["{name}"] in {config_file()}',
    )


def require_recipe(recipe: Any) -> None:
    """As :func:`require`, of a recipe, before anything is done with it.

    Raises:
        UserError: as :func:`require`.
    """
    if registry.is_custom(recipe.model.name):
        require(recipe.model.name, recipe.model.options)


def config_file() -> Path:
    """Where the user's own settings are."""
    import platformdirs

    return platformdirs.user_config_path("spiketicket") / "config.toml"


def trusted() -> frozenset[str]:
    """The functions that the user's own file trusts with any arguments; none without a file.

    Raises:
        UserError: the file is not the user's alone to write, or does not say whom to trust.
    """
    path = config_file()
    # Without a home there is no such place, but a folder of that name may be a stranger's.
    if not path.is_absolute() or not path.exists():
        return frozenset()
    try:
        file, size = open_regular(path)
        with file:
            _require_own(os.fstat(file.fileno()), path)
            for folder in {path.parent.resolve(), path.resolve().parent}:
                if why := why_not_private(folder):
                    raise _not_own(path, why, f"chmod go-w {folder}")
            if size > MAX_BYTES:
                raise UserError("is too large", where=str(path), value=size)
            names = parse_toml(file.read(MAX_BYTES).decode()).get("trust", [])
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"is not valid TOML: {error}", where=str(path)) from error
    if not isinstance(names, list) or not all(registry.is_custom(name) for name in names):
        raise UserError("must be a list of module:function", where=f"{path}: trust", value=names)
    return frozenset(names)


def _require_own(status: os.stat_result, path: Path) -> None:
    if not hasattr(os, "geteuid"):
        return  # Windows keeps a user's folder to that user
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _not_own(path, "its owner or its permissions say so", f"chmod 600 {path}")


def _not_own(path: Path, why: str, remedy: str) -> UserError:
    what = f"is not yours alone to write: whoever can, decides what is run ({why})"
    return UserError(what, where=str(path), remedy=remedy)


def _text(options: Mapping[str, Any]) -> str:
    """Tells 1, 1.0 and true apart, a tuple from a list not."""
    return json.dumps(options, sort_keys=True, default=str)
