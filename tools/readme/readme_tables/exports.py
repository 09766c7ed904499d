"""The tickets of the package, and tickets in other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from readme_tables.markdown import link, table


def zoo_table(rows: list[dict[str, Any]], path: Path) -> str:
    """The shipped tickets: what was recorded, and what their files reach."""
    return table(
        f"**Tickets in the package**, tested from their files, {rows[0]['device']} ({link(path)}):",
        "ticket | network | data | recorded accuracy %: | evaluated accuracy %: | file kB:",
        (
            f"{r['name']} | {r['network']} | {r['data']} | {r['test_accuracy']:.2f} |"
            f" {_reached(r)} | {r['file_bytes'] / 1e3:.1f}"
            for r in rows
        ),
    )


def _reached(row: dict[str, Any]) -> str:
    return f"{row['evaluated_accuracy']:.2f}" if "evaluated_accuracy" in row else "data not here"


def exports_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Exports: a check per row."""
    title = (
        f"**Exports** of tickets of {rows[0]['recipe']}, checked on all test images,"
        f" {rows[0]['device']} ({link(path)}):"
    )
    columns = (
        "to | pooling | read by | images: | neuron updates compared: | that differ: | changed"
        " answers: | file kB:"
    )
    cells = (
        f"{row['target']} | {row['pooling']} |"
        f" {check.get('reader') or check.get('runtime') or 'PyTorch'} | {check['samples']} |"
        f" {_count(check, 'compared')} | {_count(check, 'mismatches')} |"
        f" {check.get('changed_classes', 0)} | {row['bytes'] / 1e3:.0f}"
        for row in rows
        for check in row["checks"]
    )
    return table(title, columns, cells)


def _count(check: dict[str, Any], key: str) -> str:
    return f"{check[key]:,}" if key in check else "logits only"


MAKERS = {"zoo": zoo_table, "interchange": exports_table}
