"""The head of a page: what the runs come to, and for several runs how they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from spiketicket.report.axes import AXES, curves, differing, settings
from spiketicket.report.figures.canvas import Figure
from spiketicket.report.figures.curve import accuracy_curve
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import between, percent, plain, signed
from spiketicket.report.parts import Part
from spiketicket.report.runs import Run
from spiketicket.report.stages_part import overall
from spiketicket.report.tables import Cell, Table
from spiketicket.report.texts import missing
from spiketicket.verdict.outcomes import ORDER, in_words

_SAY = {
    "wins": "wins: level with the dense net, and better than every control.",
    "ties": "ties: shown neither to win nor to lose.",
    "loses": "loses: it is shown to fall short.",
    "ahead": "is ahead with its one seed, which is no verdict.",
    "level": "is level with its one seed, which is no verdict.",
    "behind": "is behind with its one seed, which is no verdict.",
    "too_small": "has no verdict: the budget is too small to say.",
    "unproven": "is unproven: the comparison is not complete.",
}
_MOST_KEYS, _MOST_CURVES = 5, 12


def badge(outcome: str) -> Markup:
    """The outcome as a small sign."""
    return element("span", in_words(outcome), class_=f"badge {outcome}")


def verdict_card(run: Run) -> Markup:
    """The verdict of one run, and what it rests on."""
    if run.result is None:
        done = sum(stage.result is not None for stage in run.stages)
        of = len(run.expected) * max(1, len(run.seeds))
        seeds = len(run.seeds)
        over = f" of {seeds} seeds" if seeds > 1 else ""
        say = f"Unfinished: {done} of {of} stages{over} are done."
        goes_on = joined([element("code", "spiketicket find"), " with its recipe goes on."])
        return element(
            "section",
            element("p", badge("unfinished")),
            element("p", say, class_="say"),
            element("p", "There is no verdict yet. ", goes_on),
            _facts(run),
            class_="verdict",
        )
    verdict = run.result.verdict
    title = run.title(run.main)
    say = f"The {title} {_SAY[verdict.outcome]}"
    sentences = [element("p", _bare(sentence)) for sentence in verdict.sentences]
    return element(
        "section",
        element("p", badge(verdict.outcome)),
        element("p", say, class_="say"),
        *sentences,
        _facts(run),
        class_="verdict",
    )


def _bare(sentence: str) -> str:
    """Without the word that the headline has said already."""
    first, found, rest = sentence.partition(": ")
    if found and first.lower() in map(in_words, ORDER):
        return rest[:1].upper() + rest[1:]
    return sentence


def _facts(run: Run) -> Markup:
    interval, mean = overall(run)
    facts: list[tuple[str, str]] = []
    if mean is not None:
        facts.append(("ticket accuracy", f"{percent(mean)} %"))
        if interval:
            words = "seeds" if len(run.seeds) > 1 else "samples"
            facts.append((f"{100 * run.confidence:g} % interval, {words}", between(interval)))
    dense = next((row for row in run.rows if row.name == "dense"), None)
    if dense:
        mean = sum(dense.test.values()) / len(dense.test)
        facts.append(("dense net accuracy", f"{percent(mean)} %"))
    if run.seeds:
        facts.append(
            ("seed" if len(run.seeds) == 1 else "seeds", ", ".join(str(seed) for seed in run.seeds))
        )
    if run.samples:
        facts.append(("test samples", f"{run.samples:,}"))
    if run.result:
        facts.append(("margin", f"{run.result.verdict.margin:g} points"))
        if best := run.strongest:
            words = f"{run.title(best.control)}, {percent(best.control_accuracy)} %"
            facts.append(("strongest control", words))
        verdict = run.result.verdict
        judged = sum(len(rung.comparisons) for rung in verdict.rungs.values() or (verdict,))
        facts.append(("comparisons", str(judged)))
    name = run.named("data")
    if name:
        facts.append(("data", str(name)))
    rows = [element("div", element("dt", k), element("dd", v)) for k, v in facts]
    return element("dl", *rows, class_="rests")


def several(runs: Sequence[Run], detailed: int) -> list[Part]:
    """The head of a page of several runs: table, then curves; ``detailed`` runs follow in full."""
    counted = Counter(run.outcome for run in runs)
    order = (*ORDER, "unfinished")
    words = [f"{counted[o]} {_plural(o, counted[o])}" for o in order if counted[o]]
    say = element("p", f"Of {len(runs)} runs, {_listed(words)}.", class_="say")
    signs = [joined([badge(o), " "]) for o in order if counted[o]]
    card = element("section", element("p", *signs), say, *_warnings(runs), class_="verdict")
    return [Part("", (card,)), Part("The runs", (_overview(runs, detailed),)), _curves(runs)]


def _plural(outcome: str, number: int) -> str:
    if outcome in ("wins", "ties", "loses"):
        return outcome if number == 1 else outcome.removesuffix("s")
    if outcome == "too_small":
        return "has too small a budget to say" if number == 1 else "have too small a budget to say"
    one = " with one seed" if outcome in ("ahead", "level", "behind") else ""
    return f"{'is' if number == 1 else 'are'} {outcome}{one}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _warnings(runs: Sequence[Run]) -> list[Markup]:
    names = sorted({str(run.named("data", "?")) for run in runs})
    found = []
    if len(names) > 1:
        found.append(
            f"They are of {len(names)} data sets ({', '.join(names[:6])}): accuracies on "
            "different data are not to be compared."
        )
    elif len({run.checksum for run in runs if run.checksum}) > 1:
        found.append("They are of data with different checksums: not the same test samples.")
    return [element("p", line) for line in found]


_NAMED = {"data": "data", "model": "network"}
"""Sections of a recipe whose names are shown, as columns where the runs differ."""


def _overview(runs: Sequence[Run], detailed: int) -> Table:
    keys = _shown_keys(runs)
    named = {title: {run.named(section, "–") for run in runs} for section, title in _NAMED.items()}
    about = [section for section, title in _NAMED.items() if len(named[title]) > 1]
    columns = (
        "run",
        "verdict",
        *(_NAMED[section] for section in about),
        *(key.replace(".", ".\n") for key in keys),
        "seeds",
        "ticket %",
        "interval",
        "dense %",
        "difference,\npoints",
        "its interval",
    )
    rows = tuple(
        _overview_row(run, about, keys, i if i < detailed else None) for i, run in enumerate(runs)
    )
    note = "Keys of the recipe in which the runs differ have a column."
    if alike := [f"{title} {next(iter(v))}" for title, v in named.items() if len(v) == 1]:
        note += f" All: {', '.join(alike)}."
    if detailed < len(runs):
        note += f" Details follow for the first {detailed} of the {len(runs)} runs."
    return Table(name="runs", columns=columns, rows=rows, words=2 + len(about), note=note)


def _shown_keys(runs: Sequence[Run]) -> list[str]:
    """Keys in which recipes that have them differ, those of the paper's figures first."""
    known = [run for run in runs if run.recipe]
    tables = [settings(run) for run in known]
    found = []
    for key in differing(known):
        values = {str(table[key]) for table in tables if key in table}
        if len(values) > 1 and key not in ("data.name", "model.name"):
            found.append(key)
    return sorted(found, key=lambda key: key not in AXES)[:_MOST_KEYS]


def _overview_row(
    run: Run, about: Sequence[str], keys: Sequence[str], index: int | None
) -> tuple[Cell, ...]:
    interval, mean = overall(run)
    dense = next((row for row in run.rows if row.name == "dense"), None)
    dense_mean = sum(dense.test.values()) / len(dense.test) if dense else None
    pair = run.result.verdict.comparisons.get("dense") if run.result else None
    values = settings(run)
    low = "–"
    if pair and pair.low is not None and pair.high is not None:
        low = f"{signed(pair.low)} to {signed(pair.high)}"
    name: str | Markup = run.label
    if index is not None:
        name = element("a", run.label, href=f"#run-{index + 1}")
    return (
        Cell(name, None, run.label),
        Cell(badge(run.outcome), None, run.outcome),
        *(Cell(run.named(section, "–")) for section in about),
        *(_setting(values.get(key)) for key in keys),
        Cell(str(len(run.seeds)), len(run.seeds)),
        Cell(percent(mean), mean),
        Cell(between(interval), interval.low if interval else None),
        Cell(percent(dense_mean), dense_mean),
        Cell(signed(pair.difference) if pair else "–", pair.difference if pair else None),
        Cell(low, pair.low if pair else None),
    )


def _setting(value: object) -> Cell:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell("–" if value is None else plain(value), float(value) if number else None)  # type: ignore[arg-type]


def _curves(runs: Sequence[Run]) -> Part:
    found = curves(runs)
    figures: list[Figure | Markup] = [
        accuracy_curve(curve, i + 1) for i, curve in enumerate(found[:_MOST_CURVES])
    ]
    if not found:
        figures.append(missing("No two finished runs differ in one number only: no curve."))
    if len(found) > _MOST_CURVES:
        words = f"{len(found) - _MOST_CURVES} more curves, of fewer or other runs, are not drawn."
        figures.append(missing(words))
    return Part("Accuracy against what differs", tuple(figures))
