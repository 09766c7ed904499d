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


def first_ticket_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Every command of a newcomer, and how long it took."""
    title = (
        f"**From your own data or network to a ticket in use**: all commands of it,"
        f" {rows[0]['seeds']} seeds, find with --budget {rows[0]['budget']} per training,"
        f" {rows[0]['device']}, beside other work ({link(path)}):"
    )
    cells = (
        f"{row['way']} | `{step['command']}` | {step['wall_s']:.1f}"
        for row in rows
        for step in row["steps"]
    )
    return table(title, "from | command | seconds:", cells)


def boards_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Shipped tickets as C on emulated boards."""
    compilers = ", ".join(dict.fromkeys(row["compiler"] for row in rows))
    title = (
        f"**Exported C on emulated boards**: {compilers}; instructions of unicorn, of one drawn"
        f" input, whose logits equal the engine's to the bit ({link(path)};"
        " [what `--stream` is](embedded.md#one-time-step-after-the-other)):"
    )
    columns = (
        "ticket | code | board | flash kB: | RAM kB: | stack bytes: | instructions per decision,"
        " all steps: | of the first step alone:"
    )
    cells = (
        f"{row['ticket']} | {'step by step' if row['stream'] else 'packed'} | {row['board']} |"
        f" {row['flash_bytes'] / 1e3:.1f} | {row['ram_bytes'] / 1e3:.1f} | {row['stack_bytes']} |"
        f" {row['instructions']:,} |"
        f" {'' if row['step_instructions'] is None else format(row['step_instructions'], ',')}"
        for row in rows
    )
    return table(title, columns, cells)


def install_table(rows: list[dict[str, Any]], path: Path) -> str:
    """What an installation adds to an empty environment."""
    title = f"**Installed size**, over an empty environment, {rows[0]['system']} ({link(path)}):"
    cells = (
        f"`pip install '{row['what']}'` | {row['bytes'] / 1e6:.1f} |"
        f" {row['disk_bytes'] / 1e6:.1f} |"
        f" {', '.join(f'{n} {size / 1e6:.1f}' for n, size in _sorted(row['largest']))}"
        for row in rows
    )
    return table(title, "command | files MB: | on disk MB: | largest, MB", cells)


def _sorted(parts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(parts.items(), key=lambda part: -part[1])


MAKERS = {
    "zoo": zoo_table,
    "interchange": exports_table,
    "boards": boards_table,
    "install_size": install_table,
    "first_ticket": first_ticket_table,
}
