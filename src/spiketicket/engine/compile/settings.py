"""Reads a ticket's settings of its network and neuron, which any program may have written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from spiketicket.engine.ops import NeuronKind
from spiketicket.ticket import TicketError

_MAX_NAME = 500


class Table:
    """A table of settings: every key is read once, by its type and range, or refused.

    A key that is not there has its default: tickets made before a setting existed lack it.
    """

    def __init__(self, table: object, where: str) -> None:
        if not isinstance(table, Mapping):
            what = "does not name a network of this package"
            remedy = "Only tickets of this package's networks can be run without PyTorch"
            raise TicketError(what, where=where, value=table, remedy=remedy)
        self._table, self._where = dict(table), where

    def whole(self, key: str, default: int | None = None, *, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._take(key, default)
        if type(value) is not int or not low <= value <= high:
            self._refuse(key, f"must be a whole number from {low} to {high}", value)
        return value

    def maybe_whole(self, key: str, *, low: int, high: int) -> int | None:
        """As :meth:`whole`, or None."""
        if self._table.get(key) is None:
            self._table.pop(key, None)
            return None
        return self.whole(key, low=low, high=high)

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._take(key, default)
        if type(value) not in (int, float) or not math.isfinite(value):
            self._refuse(key, "must be a finite number", value)
        return float(value)

    def maybe_number(self, key: str) -> float | None:
        """As :meth:`number`, or None."""
        if self._table.get(key) is None:
            self._table.pop(key, None)
            return None
        return self.number(key)

    def text(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of the ``choices``."""
        value = self._take(key, default)
        if value not in choices:
            self._refuse(key, f"must be one of {', '.join(choices)}", value)
        return str(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._take(key, default)
        if type(value) is not bool:
            self._refuse(key, "must be true or false", value)
        return value

    def items(self, key: str, most: int) -> list[Any]:
        """A list of at most ``most`` values of any kind."""
        value = self._take(key, None)
        if not isinstance(value, list) or len(value) > most:
            self._refuse(key, f"must be a list of at most {most} entries", value)
        return value

    def wholes(self, key: str, *, low: int, high: int, most: int) -> list[int]:
        """A list of whole numbers."""
        value = self.items(key, most)
        if not all(type(v) is int and low <= v <= high for v in value):
            self._refuse(key, f"must be whole numbers from {low} to {high}", value)
        return value

    def pair(self, key: str, *, low: int, high: int) -> list[int]:
        """Two whole numbers, of height and width."""
        value = self.wholes(key, low=low, high=high, most=2)
        if len(value) != 2:
            self._refuse(key, "must be two whole numbers", value)
        return value

    def name(self, key: str) -> str:
        """A text of at most 500 characters; empty where it is not there."""
        value = self._table.pop(key, "")
        if not isinstance(value, str) or len(value) > _MAX_NAME:
            self._refuse(key, f"must be a text of at most {_MAX_NAME} characters", None)
        return value

    def peek(self, key: str) -> object:
        """A value as it stands there; it is still to be read."""
        return self._table.get(key)

    def reset(self) -> float | Literal["soft"]:
        """The neuron's ``v_reset``."""
        if self._table.get("v_reset") == "soft":
            del self._table["v_reset"]
            return "soft"
        return self.number("v_reset", 0.0)

    def ignore(self, *keys: str) -> None:
        """Keys that say nothing about what a trained network computes."""
        for key in keys:
            self._table.pop(key, None)

    def done(self) -> None:
        """Refuse keys that were not read: a setting that is not understood may change results."""
        for key in sorted(self._table, key=str):
            remedy = "The ticket may be of a newer version of spiketicket"
            self._refuse(key, "an unknown setting", self._table[key], remedy)

    def _take(self, key: str, default: Any) -> Any:
        value = self._table.pop(key, default)
        if value is None:
            self._refuse(key, "is missing", None)
        return value

    def _refuse(self, key: str, what: str, value: object, remedy: str = "") -> NoReturn:
        raise TicketError(what, where=f"{self._where}.{key}", value=value, remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class NeuronSettings:
    """A neuron as ``neurons/`` knows it, with what decides its output."""

    kind: NeuronKind
    v_threshold: float = 0.0
    decay: float = 0.0
    decay_input: bool = False
    v_reset: float | Literal["soft"] = 0.0

    @property
    def spikes(self) -> bool:
        """Whether its output is 0 or 1."""
        return self.kind in (NeuronKind.LIF, NeuronKind.STEP)

    def parameters(self) -> dict[str, Any]:
        """The fields of :class:`spiketicket.engine.ops.Neuron`, as ``neurons/lif.py`` has them."""
        rest = 0.0 if self.v_reset == "soft" else self.v_reset
        return {
            "kind": self.kind,
            "charge": 2 if self.decay_input else 1 if rest else 0,
            "soft": self.v_reset == "soft",
            "decay": self.decay,
            "tau": 1.0 / (1.0 - self.decay),
            "v_threshold": self.v_threshold,
            "v_reset": rest,
            "v_rest": rest,
        }


NEURONS = {kind.name.lower(): kind for kind in NeuronKind}


def read_neuron(table: Table) -> NeuronSettings:
    """A neuron of its recipe section.

    Raises:
        TicketError: it is none of this package's.
    """
    kind = NEURONS[table.text("name", tuple(NEURONS))]
    table.ignore("surrogate", "alpha", "detach_reset")
    if kind is NeuronKind.LIF:
        decay = table.number("decay", 0.5)
        if not 0 <= decay < 1:
            raise TicketError("must be from 0 to below 1", where="neuron.decay", value=decay)
        settings = NeuronSettings(
            kind=kind,
            v_threshold=table.number("v_threshold", 1.0),
            decay=decay,
            decay_input=table.flag("decay_input", False),
            v_reset=table.reset(),
        )
    elif kind is NeuronKind.STEP:
        settings = NeuronSettings(kind=kind, v_threshold=table.number("v_threshold", 0.0))
    else:
        settings = NeuronSettings(kind=kind)
    table.done()
    return settings
