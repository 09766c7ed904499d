"""The papers' own numbers, as ``published.toml`` has them; never mixed with ours."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spiketicket.errors import UserError
from spiketicket.recipe import read_tables

_STAGES = {"table1": ("dense", "ticket"), "table2": ("dense", "patch", "pepsp")}
_PRUNED = {
    # what of the axis' own quantity, in percent, the tables' tickets have pruned
    ("table1", "ticket"): 50.0,
    ("table2-tiny", "patch"): 31.4,
    ("table2-small", "patch"): 37.6,
    ("table2-tiny", "pepsp"): 48.7,
    ("table2-small", "pepsp"): 54.9,
}
_NAMES = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "dvs_gesture": "DVS128Gesture",
    "cifar10_dvs": "CIFAR10-DVS",
    "vgg9": "VGG-9",
    "resnet19": "ResNet-19",
    "tiny": "TINY",
    "small": "SMALL",
}


@dataclass(frozen=True)
class Published:
    """Values of one data set and network: accuracy in percent by series and stage.

    ``pruned`` says for a stage how much its ticket has pruned, in percent: of its weights, of the
    patches, and for ``pepsp`` of ConvPEP's weights.
    """

    key: str
    title: str
    values: Mapping[str, Mapping[str, float]]
    pruned: Mapping[str, float]

    def accuracy(self, series: str, stage: str) -> float | None:
        """Percent, or None where the papers print none."""
        return self.values.get(series, {}).get(stage)


def published(key: str) -> Published | None:
    """What is known under a key as ``table1.cifar10-vgg9``; None for an empty key.

    Raises:
        UserError: there is no such key.
    """
    if not key:
        return None
    table, _, name = key.partition(".")
    rows = _tables().get(table, {}).get(name)
    if rows is None or table not in _STAGES:
        known = [f"{t}.{n}" for t in _STAGES for n in _tables()[t]]
        raise UserError(
            "there are no published values of that name",
            where="published",
            value=key,
            remedy=f"There are {', '.join(known)}",
        )
    data, _, net = name.partition("-")
    stages = _STAGES[table]
    values = {series: dict(zip(stages, row, strict=False)) for series, row in rows.items()}
    size = table if table == "table1" else f"{table}-{net}"
    pruned = {stage: share for (of, stage), share in _PRUNED.items() if of == size}
    return Published(key, f"{_NAMES[data]}, {_NAMES[net]}", values, pruned)


def source() -> str:
    """Where the values are printed."""
    return str(_tables()["source"])


@functools.cache
def _tables() -> dict[str, Any]:
    return read_tables(Path(__file__).with_name("published.toml"))
