"""What a value in a ticket's metadata can be: small checks, each of which names the place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol

from spiketicket.ticket.codec import TicketError

MAX_TEXT: Final = 10_000
"""Characters of a text that people read: a licence, a sentence of a verdict."""
MAX_NAME: Final = 1000
_INT64 = 1 << 63
_SHOWN = 200


class Kind(Protocol):
    """What a value must be."""

    def check(self, value: object, where: str) -> None:
        """Raise TicketError, which names ``where``, for any other value."""
        ...


@dataclass(frozen=True)
class Text:
    """A text of at most ``most`` characters; ``plain`` ones can be shown as they are."""

    most: int = MAX_NAME
    plain: bool = False
    pattern: str = ""

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`."""
        if not isinstance(value, str):
            _refuse("must be a text", where, value)
        if len(value) > self.most:
            _refuse(f"must be at most {self.most} characters", where, value[:_SHOWN])
        if self.plain and not (value and value.isprintable()):
            _refuse("must be printable characters", where, value)
        if self.pattern and not re.fullmatch(self.pattern, value):
            _refuse(f"must match {self.pattern}", where, value)


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    low: int = 0
    high: int = _INT64 - 1

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`."""
        if type(value) is not int or not self.low <= value <= self.high:
            _refuse(f"must be a whole number from {self.low} to {self.high}", where, value)


@dataclass(frozen=True)
class Number:
    """A number, whole or not. JSON knows neither infinity nor NaN."""

    low: float = -1e300
    high: float = 1e300

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`."""
        if type(value) not in (int, float) or not self.low <= value <= self.high:  # type: ignore[operator]
            _refuse(f"must be a number from {self.low:g} to {self.high:g}", where, value)


@dataclass(frozen=True)
class Maybe:
    """``null``, or a value of another kind."""

    kind: Kind

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`."""
        if value is not None:
            self.kind.check(value, where)


@dataclass(frozen=True)
class Items:
    """A list of at most ``most`` values of a kind."""

    kind: Kind
    most: int = 65536

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`."""
        if not isinstance(value, list):
            _refuse("must be a list", where, value)
        if len(value) > self.most:
            _refuse(f"must have at most {self.most} entries", where, len(value))
        for index, item in enumerate(value):
            self.kind.check(item, f"{where}[{index}]")


@dataclass(frozen=True)
class Plain:
    """Settings: numbers, truth values, texts, and lists and tables of such."""

    most: int = MAX_TEXT

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`. JSON is nested little enough for this to call itself."""
        if isinstance(value, dict):
            for key, item in value.items():
                _check_key(key, where)
                self.check(item, f"{where}.{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.check(item, f"{where}[{index}]")
        elif isinstance(value, str):
            Text(self.most).check(value, where)
        elif type(value) in (int, float):
            Number().check(value, where)


@dataclass(frozen=True)
class Table:
    """A table; every key may be absent, and ``rest`` is what others must be."""

    fields: Mapping[str, Kind] = field(default_factory=dict)
    rest: Kind = Plain()  # frozen

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`."""
        if not isinstance(value, dict):
            _refuse("must be a table", where, value)
        for key, item in value.items():
            _check_key(key, where)
            self.fields.get(key, self.rest).check(item, f"{where}.{key}" if where else key)


@dataclass(frozen=True)
class Anything:
    """What nobody here reads."""

    def check(self, value: object, where: str) -> None:
        """Takes everything."""


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, value: object, where: str) -> None:
        """See :class:`Kind`."""
        if type(value) is not bool:
            _refuse("must be true or false", where, value)


def _check_key(key: object, where: str) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_NAME:
        _refuse(f"a key must be 1 to {MAX_NAME} characters", where, str(key)[:_SHOWN])


def _refuse(what: str, where: str, value: object) -> NoReturn:
    raise TicketError(what, where=where, value=value)
