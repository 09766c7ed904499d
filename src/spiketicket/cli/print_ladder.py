"""The ladder of a transformer's tickets as a person reads it: a row per stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spiketicket.cli.console import print_line, print_table, time_text
from spiketicket.machine.sizes import file_size
from spiketicket.recipe.shapes import RANKER_OF_OLD
from spiketicket.verdict.outcomes import COVERS

GROUPS = {
    "input_encoder": "input encoder",
    "conv_pep": "ConvPEP",
    "encoder_linear": "encoder linear",
    "attention": "attention",
    "head": "head",
    "selector": "selector",
}
_RULES = {
    "firing_rate": "firing rate of its tokens",
    "embedding_norm": "norm of its tokens",
    "attention_first": "attention they get in the first block",
    "attention_last": "attention they get in the last block",
}
_WHERE = {"own": "in the net's own ConvPEP", "selector": "in a trained selector"}


def is_ladder(stages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the rows are those of a ladder."""
    return any(stage.get("tokens") for stage in stages)


def print_ladder(
    stages: Sequence[Mapping[str, Any]], accuracy: Sequence[tuple[str, str]], *, title: str
) -> None:
    """Print the stages and what they cost; ``accuracy`` is the test and validation text a row."""
    columns = (
        "",
        "test %",
        "validation %",
        "tokens",
        "ConvPEP\ndensity",
        "pruned\nConvPEP %",
        "pruned\nnet %",
        "file",
        "epochs",
        "time",
    )
    rows = [_row(stage, *text) for stage, text in zip(stages, accuracy, strict=True)]
    print_table(columns, rows, title=title)
    _print_operations(stages)
    for line in (*_kept(stages), *_flips(stages)):
        print_line(line)


def print_rungs(verdict: Mapping[str, Any]) -> None:
    """Print every rung against its controls, and fine-tuning against what it started from."""
    rows = []
    for rung in verdict["rungs"].values():
        for kind, after in (("comparisons", ""), ("beside", ", not judged"), ("fine_tuning", "")):
            table = rung.get(kind, {})
            rows += [compared_row(row["of"], f"{n}{after}", row) for n, row in table.items()]
    print_compared(rows, verdict["confidence"])


def print_compared(rows: Sequence[Sequence[str]], confidence: float) -> None:
    """Print rows of :func:`compared_row`."""
    print_table(("", "points", f"{100 * confidence:g} % interval", "covers"), rows)


def compared_row(of: str, other: str, row: Mapping[str, Any]) -> list[str]:
    """One comparison: what, its difference in points, the interval, and what that covers."""
    return [
        f"{of} - {other.replace('_', ' ')}",
        f"{row['difference']:+.2f}",
        "none" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}",
        COVERS.get(row["basis"], "-"),
    ]


def _row(stage: Mapping[str, Any], test: str, validation: str) -> list[str]:
    tokens, whole = stage["tokens"], stage["conv_pep_density"] == 1
    return [
        stage["title"],
        test,
        validation,
        f"{tokens['kept']} of {tokens['of']}",
        f"{stage['conv_pep_density']:.4g}",
        "-" if whole else f"{100 * (1 - stage['conv_pep_density']):.4g}",
        "-" if whole else f"{100 * (1 - stage['net_density']):.4g}",
        file_size(stage["file_bytes"]),
        f"{stage['trained_epochs']:g}",
        time_text(stage["wall_s"]),
    ]


def _print_operations(stages: Sequence[Mapping[str, Any]]) -> None:
    counted = [(stage["title"], stage["operations"]) for stage in stages if stage.get("operations")]
    if not counted:
        return
    names = [g for g in GROUPS if any(g in found for _, found in counted)]
    rows = []
    for title, found in counted:
        groups = [found.get(name) for name in names]
        total = [sum(g[k] for g in groups if g) for k in ("acs", "macs", "dense")]
        cells = ["-" if g is None else _million(g["acs"] + g["macs"]) for g in groups]
        rows.append([title, *cells, _million(total[0] + total[1]), _million(total[2])])
    images = counted[0][1].get("images", "?")
    print_table(
        ("", *(GROUPS[name].replace(" ", "\n") for name in names), "all", "were none\nzero"),
        rows,
        title=f"Operations per image with no zero factor, million (mean of {images} test images)",
    )


def _million(count: float) -> str:
    return f"{count / 1e6:.3g}"


def flipped(stage: Mapping[str, Any]) -> str:
    """How many signs a fine-tuning flipped, of how many."""
    count, of = stage.get("signs_flipped"), stage.get("signs")
    return "-" if count is None or of is None else f"{count:,.10g} of {of:,.10g}"


def _flips(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    told = [(stage["title"], flipped(stage)) for stage in stages]
    return [f"Signs flipped: {text} ({title})" for title, text in told if text != "-"]


def _kept(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    from spiketicket.experiment.schemas import PATCHES

    patch = next((stage for stage in stages if stage["stage"] in PATCHES), None)
    if patch is None:
        return []
    tokens = patch["tokens"]
    where = _WHERE[patch.get("ranker", RANKER_OF_OLD)]
    rules = {
        f"{_RULES[r]} {where}" if r in _RULES else r
        for r in patch.get("rankings") or [patch["ranking"]]
    }
    return [
        f"Kept: {tokens['kept']} of {tokens['of']} patches per image, by the "
        f"{' or the '.join(sorted(rules))}; the same rule in training, validation and test."
    ]
