"""What was measured, as a person reads it: operations in thousands, energies in nanojoules."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spiketicket.cli.console import print_facts, print_line, print_table, size_text
from spiketicket.cli.print_result import percent
from spiketicket.machine.sizes import file_size
from spiketicket.measure.energy import TABLES, Table, formula, price

Measured = Mapping[str, Any]


def print_measured(sources: Sequence[Sequence[Row]], table: Table, *, every: bool) -> None:
    """Print one net in full, several against the first, a run by its stages.

    ``every`` prices the one net by every table; comparisons are by ``table``.
    """
    nets = [part[0] for part in sources if len(part) == 1]
    if len(sources) == 1 and nets:
        _print_net(nets[0], list(TABLES.values()) if every else [table])
        return
    if nets:
        names = _short_names([net.source for net in nets])
        _print_comparison(names, [[net.measured] for net in nets], table)
    for part in sources:
        if len(part) > 1:
            stages = list(dict.fromkeys(row.stage for row in part))
            by_stage = [[row.measured for row in part if row.stage == stage] for stage in stages]
            _print_comparison(stages, by_stage, table, title=_run_title(part))


def _run_title(rows: Sequence[Row]) -> str:
    seeds = len({row.seed for row in rows})
    return f"{rows[0].recipe.get('name')}, mean over {seeds} seed{'s' * (seeds > 1)}"


def _print_net(row: Row, tables: Sequence[Table]) -> None:
    found = row.measured
    print_line(f"{row.source}: {_set_text(found)}", "bold")
    layers = [_layer_cells(layer) for layer in found["layers"]]
    columns = (
        "layer",
        "group",
        "input",
        "not\nzero",
        "runs",
        "weights",
        "kept\n%",
        "not 0\n%",
        "MACs\nk",
        "ACs\nk",
        "accumu-\nlations k",
        "were none\nzero k",
    )
    print_table(columns, layers, title="Operations per image", left=3)
    groups = {**found["groups"], "all": found["total"]}
    keys = ("macs", "acs", "ac_units", "dense", "updates")
    print_table(
        ("group", "MACs k", "ACs k", "accumulations k", "were none zero k", "membrane updates k"),
        [[name, *(_thousand(sums[k]) for k in keys)] for name, sums in groups.items()],
    )
    _print_neurons(found)
    _print_sparsity(found["sparsity"])
    _print_energy(found, tables)


def _layer_cells(layer: Mapping[str, Any]) -> list[str]:
    weights = layer["weights"]
    shares = [f"{100 * layer[k] / weights:.4g}" if weights else "-" for k in ("kept", "nonzero")]
    return [
        layer["name"],
        layer["group"],
        layer["input"],
        f"{100 * layer['input_density']:.3g} %",
        f"{layer['calls']:g}",
        f"{weights:,}" if weights else "-",
        *shares,
        *(_thousand(layer[k]) for k in ("macs", "acs", "ac_units", "dense")),
    ]


def _print_neurons(found: Measured) -> None:
    steps = found["timesteps"]
    print_table(
        ("neurons", "kind", "number", *(f"t={t + 1}" for t in range(steps)), "updates k"),
        [
            [
                n["name"],
                n["kind"],
                f"{n['size']:,}",
                *(f"{100 * r:.2f}" for r in n["rate"]),
                _thousand(n["updates"]),
            ]
            for n in found["neurons"]
        ],
        title="Outputs that are not zero, percent at each time step",
        left=2,
    )


def _print_sparsity(found: Mapping[str, Any]) -> None:
    print_facts(
        [
            ("mask density", f"{100 * found['mask_density']:.4g} % of the ticket's weights kept"),
            ("zeros in weights", f"{100 * found['zero_weights']:.4g} %"),
            ("zero activations", f"{100 * found['activation_sparsity']:.4g} %"),
            ("zero filters", f"{found['zero_filters']:,} of {found['filters']:,}"),
            ("zero input channels", f"{found['zero_channels']:,} of {found['channels']:,}"),
            (
                "file",
                f"{file_size(found['file_bytes'])}; float32 {size_text(found['fp32_bytes'])},"
                f" entropy bound {size_text(found['entropy_bytes'])}",
            ),
        ],
        title="Sparsity",
    )


def _print_energy(found: Measured, tables: Sequence[Table]) -> None:
    prices = [price(found, table) for table in tables]
    keys = ["macs_pj", "acs_pj", "total_pj", "with_updates_pj", "memory_pj", "with_memory_pj"]
    keys += ["dense_pj", "dense_with_memory_pj"]
    columns = [
        "table",
        "MACs",
        "accumulations",
        "together",
        "with membrane updates",
        "memory",
        "sum",
        "every weight multiplied",
        "and its memory",
    ]
    print_table(
        columns,
        [[priced["table"], *(_nanojoule(priced[key]) for key in keys)] for priced in prices],
        title="Energy per image, nJ",
    )
    for table in tables:
        print_line(f"{table.name}: {formula(table)}")
    print_line(f"Source: {tables[0].source}. Counts and prices: docs/energy.md")
    _print_memory(prices[0])


def _print_memory(priced: Mapping[str, Any]) -> None:
    kinds = [f"{name} {size_text(round(n))}" for name, n in priced["memory_bytes"].items()]
    print_line(f"Bytes moved per image by {priced['table']}: {', '.join(kinds)}")
    levels = priced["memory_levels"].items()
    print_table(
        ("memory", "read kB", "written kB", "nJ"),
        [[n, *(_thousand(x[k]) for k in ("read", "written", "pj"))] for n, x in levels],
    )
    print_line(f"Memory: {priced['memory_source']}")


def _print_comparison(
    names: Sequence[str],
    nets: Sequence[Sequence[Measured]],
    table: Table,
    *,
    title: str = "",
) -> None:
    """A row a net, each the mean over its seeds, with ratios to the first."""
    prices = [[price(m, table) for m in seeds] for seeds in nets]
    shown = ["total_pj", "with_updates_pj", "memory_pj", "with_memory_pj", "dense_pj"]
    shown.append("dense_with_memory_pj")
    means = [{k: statistics.fmean(p[k] for p in seeds) for k in shown} for seeds in prices]
    rows = []
    for name, seeds, mean in zip(names, nets, means, strict=True):
        sums = [
            statistics.fmean(m["total"][k] for m in seeds) for k in ("macs", "ac_units", "updates")
        ]
        zeros = statistics.fmean(m["sparsity"]["zero_weights"] for m in seeds)
        active = statistics.fmean(m["sparsity"]["activation_sparsity"] for m in seeds)
        cells = [
            name,
            percent([m["accuracy"] for m in seeds]),
            *(_thousand(n) for n in sums),
            f"{100 * zeros:.3g}",
            f"{100 * active:.3g}",
        ]
        for key in shown:
            first = means[0][_AGAINST.get(key, key)]
            cells += [_nanojoule(mean[key]), _ratio(mean[key], first)]
        rows.append(cells)
    columns = [
        "",
        "accuracy\n%",
        "MACs\nk",
        "accumu-\nlations k",
        "updates\nk",
        "weights\nzero %",
        "activations\nzero %",
        "energy\nnJ",
        "x",
        "with updates\nnJ",
        "x",
        "memory\nnJ",
        "x",
        "sum\nnJ",
        "x",
        "all multiplied\nnJ",
        "x",
        "and memory\nnJ",
        "x",
    ]
    sets = dict.fromkeys(_set_text(m, accuracy=False) for seeds in nets for m in seeds)
    where = "; ".join(sets)
    print_table(columns, rows, title=f"{title}: {where}" if title else where)
    data = {m["set"]["checksum"] for seeds in nets for m in seeds}
    if len(sets) > 1 or len(data) > 1:
        print_line("These are not the same images: neither accuracies nor costs are to be compared")
    print_line(
        "x is against the first row; of all multiplied, as an ANN is often priced, against what the"
        " first row spends where zeros are skipped"
    )
    print_line(f"Energy by {table.name}: {formula(table)}")
    print_line(f"Source: {table.source}. Counts and prices: docs/energy.md")


_AGAINST = {"dense_pj": "total_pj", "dense_with_memory_pj": "with_memory_pj"}
"""What a dense price is set against in the first row."""


def _set_text(found: Measured, *, accuracy: bool = True) -> str:
    part = found["set"]
    text = f"first {part['images']} of {part['of']} test images of {part['name']}"
    return f"{text}, {found['accuracy']:.2f} % right" if accuracy else text


def _ratio(value: float, first: float) -> str:
    return f"{value / first:.2f}" if first else "-"


def _short_names(paths: Sequence[str]) -> list[str]:
    """The ends of the paths, as long as they must be to differ."""
    parts = [path.replace("\\", "/").split("/") for path in paths]
    for count in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(set(paths)):
            return names
    return list(paths)


def _thousand(count: float) -> str:
    """A thousandth of the count, in four digits or more."""
    return f"{count / 1e3:,.4g}" if count < 1e7 else f"{count / 1e3:,.0f}"


def _nanojoule(picojoules: float) -> str:
    return _thousand(picojoules)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured net; ``recipe`` as plain values, and what tells it from others."""

    source: str
    stage: str
    seed: int | None
    recipe: dict[str, Any]
    recipe_hash: str
    measured: dict[str, Any]
    new: bool
