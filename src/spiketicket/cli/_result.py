"""Results of a run as a person reads them; accuracies are in percent."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from spiketicket.cli._console import print_facts, print_line, print_table, size_text, time_text

_COLUMNS = ("", "test %", "validation %", "density", "pruned %", "binary", "BN trained", "weights",
            "of", "file", "epochs", "time")  # fmt: skip


def print_find(result: Mapping[str, Any]) -> None:
    """Print the arms, the verdict, and where everything is."""
    seeds = ", ".join(str(seed) for seed in result["seeds"])
    title = f"{result['name']}: {result['condition']}, seed{'s' * (len(result['seeds']) > 1)} "
    print_arms(result["arms"], title=title + seeds)
    print_verdict(result["verdict"])
    for path in result["tickets"]:
        print_line(f"ticket   {path}")
    print_line(f"run      {result['folder']}")


def print_arms(arms: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Print one row for each of the nets that were compared."""
    print_table(_COLUMNS, [_row(arm) for arm in arms], title=title)


def print_verdict(verdict: Mapping[str, Any]) -> None:
    """Print what the comparison says."""
    raise NotImplementedError


def print_evaluation(result: Mapping[str, Any], *, title: str) -> None:
    """Print the result of an evaluation, one fact a line."""
    print_facts(
        [(key.replace("_", " "), _value(key, value)) for key, value in result.items()], title=title
    )


def percent(values: Sequence[float]) -> str:
    """Mean of percentages, with the standard deviation over several seeds."""
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def _row(arm: Mapping[str, Any]) -> list[str]:
    return [
        arm["title"],
        percent(arm["test_accuracy"]),
        percent(arm["validation_accuracy"]),
        f"{arm['density']:.4g}",
        f"{100 * (1 - arm['density']):.4g}",
        "yes" if arm["binary"] else "no",
        "yes" if arm["bn_affine"] else "no",
        f"{arm['kept']:,}",
        f"{arm['parameters']:,}",
        size_text(arm["file_bytes"]),
        f"{arm['trained_epochs']:g}",
        time_text(arm["wall_s"]),
    ]


def _value(key: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f} %" if "accuracy" in key else f"{value:.6g}"
    return "-" if value is None else str(value)
