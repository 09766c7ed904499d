"""A comparison of peers as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spiketicket.cli.console import print_line, print_table, size_text
from spiketicket.machine.sizes import file_size

_SHORT = {"onnxruntime-int8": "x ORT int8", "torch-fp32": "x torch"}


def print_compared(result: Mapping[str, Any]) -> None:
    """Print a table for every batch size and number of threads, and who was left out."""
    about, machine = result["ticket"], result["machine"]
    print_line(
        f"{about['network']}, {100 * (1 - about['density']):.1f} % zeros, file "
        f"{file_size(about['file_bytes'])} (as float32 {size_text(about['dense_bytes'])}); "
        f"{machine['cpu']}"
    )
    for group in result["groups"]:
        print_group(group)


def print_group(group: Mapping[str, Any]) -> None:
    """Print one table, the fastest peer first."""
    threads = group["threads"]
    measured = sorted(
        (row for row in group["rows"] if row["status"] == "measured"),
        key=lambda row: row["ms_per_image"],
    )
    if measured:
        bases = list(measured[0]["times_faster_than"])
        print_table(
            (
                "peer",
                "ms/image",
                "quartiles",
                *(_SHORT[base] for base in bases),
                "same class",
                "equal logits",
            ),
            [_cells(row, bases) for row in measured],
            title=f"batch {group['batch']}, {threads} thread{'s' * (threads > 1)}",
        )
    for row in group["rows"]:
        if row["status"] != "measured":
            print_line(f"{row['peer']}: {row['status']}: {row['reason']}")
        elif row["reason"]:
            print_line(f"{row['peer']}: {row['reason']}")


def _cells(row: Mapping[str, Any], bases: list[str]) -> list[str]:
    agreement = row["agreement"]
    return [
        row["title"],
        f"{row['ms_per_image']:.4g}",
        f"{row['q25']:.4g} to {row['q75']:.4g}",
        *(f"{row['times_faster_than'][base]:.2f}" for base in bases),
        f"{100 * agreement['same_class']:.0f} %",
        f"{100 * agreement['equal']:.0f} %",
    ]
