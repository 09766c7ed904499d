"""Early answers: what ``spiketicket exit`` recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from readme_tables.markdown import link, table


def early_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Each ticket after all steps, with its margins, and always after fewer."""
    title = (
        f"**Answers before the last time step** ({rows[0]['device']}, spiketicket"
        f" {rows[0]['spiketicket']}, {link(path)}). A margin is the one with the fewest steps at"
        " which at most so many percent of the validation samples get another answer than after"
        f" all steps; the test split only reports. Energy by `{rows[0]['table']}`, membranes"
        " included; ms of one sample alone, on one thread of the engine"
        " ([how](energy.md#answers-before-the-last-time-step)):"
    )
    columns = (
        "ticket | answer after | margin: | validation samples: | steps, validation: |"
        " accuracy %, validation: | test samples: | steps, test: | accuracy %, test: |"
        " answers changed %, test: | energy nJ: | of all steps: | ms:"
    )
    cells = []
    for ticket in rows:
        whole = ticket["rows"][0]
        for row in ticket["rows"]:
            rule = row["rule"] if row["changed"] is None else f"margin, {row['changed']:g} %"
            margin = "" if row["margin"] is None else f"{row['margin']:.4g}"
            cells.append(
                f"{ticket['name']} | {rule} | {margin} | {ticket['validation_count']:,} |"
                f" {row['validation_steps']:.2f} | {row['validation_accuracy']:.2f} |"
                f" {ticket['test_count']:,} | {row['test_steps']:.2f} |"
                f" {row['test_accuracy']:.2f} | {row['test_changed']:.2f} |"
                f" {row['energy_pj'] / 1e3:,.0f} |"
                f" {row['energy_pj'] / whole['energy_pj']:.2f} | {row['ms']:.3f}"
            )
    return table(title, columns, cells)
