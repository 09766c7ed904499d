"""Which recipes differ in exactly one number, and so lie on a curve."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spiketicket.report.numbers import plain
from spiketicket.report.runs import Run

AXES = {
    "ticket.density": "density (share of weights kept)",
    "ticket.keep": "keep (share of patches kept)",
    "model.timesteps": "time steps T",
    "neuron.decay": "decay of the membrane",
}
"""What the axes of the paper are called; any other is called by its key."""

_NO_RESULT = ("name", "seed", "data.root", "train.kernel", "train.checkpoint_steps")
"""Keys that do not decide an accuracy, or, as the seed, only its chance."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Runs in the order of the one value in which they differ."""

    key: str
    values: tuple[float, ...]
    runs: tuple[Run, ...]
    fixed: str
    """What tells this curve from others along the same key, in words."""

    @property
    def title(self) -> str:
        """The axis in words."""
        return AXES.get(self.key, self.key)


def settings(run: Run) -> dict[str, Any]:
    """A recipe as dotted keys; lists are texts, and what decides no result is left out."""
    found = _flat(run.recipe)
    if found.get("data.steps") == found.get("model.timesteps"):
        found.pop("data.steps", None)  # of recordings the two are one choice
    left_out = (*_NO_RESULT, *(key for key in found if key.startswith("verdict.")))
    return {k: v for k, v in found.items() if k not in left_out}


def differing(runs: Sequence[Run]) -> tuple[str, ...]:
    """The keys in which the recipes differ."""
    tables = [settings(run) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    return tuple(k for k in keys if len({_token(table.get(k)) for table in tables}) > 1)


def curves(runs: Sequence[Run]) -> list[Curve]:
    """The curves of finished runs, those with the most points first."""
    finished = [run for run in runs if run.result is not None and run.recipe]
    keys = differing(finished)
    tables = [settings(run) for run in finished]
    tokens = [
        [run.checksum, *(_token(values.get(key)) for key in keys)]
        for run, values in zip(finished, tables, strict=True)
    ]
    found: list[Curve] = []
    for place, key in enumerate(keys, start=1):
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index, values in enumerate(tables):
            if _is_number(values.get(key)):
                rest = (*tokens[index][:place], *tokens[index][place + 1 :])
                groups[rest].append(index)
        lines = [g for g in groups.values() if len({float(tables[i][key]) for i in g}) > 1]
        found += [
            _curve(key, group, runs=finished, tables=tables, several=len(lines) > 1, keys=keys)
            for group in lines
        ]
    first = list(AXES)
    rank = {key: first.index(key) if key in first else len(first) for key in keys}
    return sorted(found, key=lambda c: (-len(c.values), rank[c.key], c.key, c.fixed))


def _curve(
    key: str,
    group: Sequence[int],
    *,
    runs: Sequence[Run],
    tables: Sequence[Mapping[str, Any]],
    several: bool,
    keys: Sequence[str],
) -> Curve:
    order = sorted(group, key=lambda i: (float(tables[i][key]), runs[i].label))
    others = [k for k in keys if k != key and k in tables[order[0]]]
    fixed = ", ".join(f"{k} {plain(tables[order[0]][k])}" for k in others) if several else ""
    values = tuple(float(tables[i][key]) for i in order)
    return Curve(key, values, tuple(runs[i] for i in order), fixed)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value if not isinstance(value, list) else json.dumps(value)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _token(value: object) -> str:
    """Equal for equal values: 1 and 1.0 are, 1 and true are not."""
    return repr(float(value)) if _is_number(value) else repr(value)  # type: ignore[arg-type]
