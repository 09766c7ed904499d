"""What the figures share: colours, marks, axes, legend, and where published values stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from spiketicket.methods.stages import in_words
from spiketicket.reproduce.collect import Row, StageRow, stage_of
from spiketicket.reproduce.published import Published

PAPER, INK, MUTED, RULE, HAIR = "#fdfdfb", "#1f2428", "#656d74", "#b9bfc4", "#e6e8e7"
COLOURS = ("#0a6c8f", "#b3352a", "#8a6100", "#1c7a43", "#6b4a94")
STYLE: Any = {
    "svg.hashsalt": "spiketicket",
    "svg.fonttype": "none",
    "font.size": 9.0,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 9.5,
    "axes.titlecolor": INK,
    "axes.facecolor": PAPER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": HAIR,
    "text.color": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
}
_LETTERS, _SAMPLE = 60, 8
"""Letters of the legend under a panel, and the room of a line's sample in letters."""
MARKS = ("o", "s", "^", "v", "D")
HOLLOW: dict[str, Any] = {
    "marker": "D",
    "markersize": 5,
    "markerfacecolor": PAPER,
    "markeredgewidth": 1.1,
    "linestyle": "none",
    "zorder": 5,
}


@dataclass(frozen=True)
class Key:
    """Entries of the legend, each once, in the order they were drawn, and every series' colour."""

    entries: dict[str, Any] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)

    def colour(self, series: str) -> str:
        """The colour of a series, the same in all panels."""
        return self.colours.setdefault(series, COLOURS[len(self.colours) % len(COLOURS)])

    def add(self, label: str, **style: Any) -> None:
        """Take an entry up, unless one of its name is there."""
        self.entries.setdefault(label, Line2D([], [], **style))


def legend(figure: Figure, key: Key, columns: int) -> None:
    """One legend for all panels, under them."""
    if key.entries:
        longest = max(map(len, key.entries)) + _SAMPLE
        beside = max(1, min(len(key.entries), _LETTERS * columns // longest))
        figure.legend(
            list(key.entries.values()),
            list(key.entries),
            loc="outside lower left",
            ncols=beside,
            frameon=False,
            fontsize=8,
        )


def draw_published(
    axes: Any, marks: Sequence[tuple[float, float, str]], known: Published | None, key: Key
) -> None:
    """Published accuracies at (x, value, colour): in the panel, or all in a strip over it."""
    if not marks or known is None:
        return
    low, high = axes.get_ylim()
    place, values = axes, [value for _, value, _ in marks]
    if not all(low <= value <= high for value in values):
        place = axes.inset_axes((0.0, 1.05, 1.0, 0.26))
        place.set_xlim(axes.get_xlim())
        pad = 0.25 * (max(values) - min(values)) + 0.5
        place.set_ylim(min(values) - pad, max(values) + pad)
        place.tick_params(axis="x", length=0, labelbottom=False)
        place.tick_params(axis="y", labelsize=7)
        place.yaxis.set_major_locator(MaxNLocator(3))
        place.spines.bottom.set_visible(False)
    for x, value, colour in marks:
        place.plot([x], [value], color=colour, clip_on=False, **HOLLOW)
    key.add(f"published, {known.title}", color=INK, **HOLLOW)


def printed_value(known: Published | None, row: Row, role: str) -> float | None:
    """What the paper prints for a stage of a row, in percent."""
    if known is None:
        return None
    return known.accuracy(row.cell.printed, stage_of(row.cell.recipe, role))


def colour_of(row: Row, role: str) -> str:
    """A ticket's, its fine-tuned one's, the dense net's, or a control's."""
    stage = stage_of(row.cell.recipe, role)
    if stage in ("ticket", "patch") or role == "main":
        return COLOURS[0]
    if stage.endswith("_finetuned"):
        return COLOURS[3]
    if stage.endswith("_finetune_control"):
        return COLOURS[2]
    known = {"dense": INK, "pepsp": COLOURS[4], "multisp": COLOURS[1]}
    return known.get(stage, MUTED)


def role_title(row: Row, role: str) -> str:
    """A stage in words."""
    words = {
        "main": "ticket",
        "finetuned": "ticket, fine-tuned",
        "dense": "dense, trained",
        "finetune_control": "ticket, only the rest trained",
    }
    stage = stage_of(row.cell.recipe, role)
    if role == "random" and stage != "patch_random":
        return "random mask, trained"
    if role in words:
        return words[role]
    known = row.stages.get(stage)
    return known.title if known else in_words(stage)


def spread(stage: StageRow, row: Row) -> tuple[float, float, float]:
    """Mean and both ends of its interval, in percent."""
    interval = stage.interval(row.cell.recipe.verdict.confidence)
    return stage.mean, *((interval.low, interval.high) if interval else (stage.mean, stage.mean))


def accuracy_axis(axes: Any, drawn: Sequence[tuple[float, float, float]]) -> None:
    """Let the y axis hold what is drawn: means and intervals."""
    axes.set_ylabel("test accuracy, %")
    if not drawn:
        axes.set_ylim(0, 100)
        return
    means = [d[0] for d in drawn]
    # a wide interval of few seeds must not press the means together
    room = max(2.0, 0.35 * (max(means) - min(means)))
    low = max(min(d[1] for d in drawn), min(means) - room, 0.0)
    high = min(max(d[2] for d in drawn), max(means) + room, 100.0)
    pad = max(0.5, 0.06 * (high - low))
    axes.set_ylim(max(0.0, low - pad), high + pad)


def nothing(axes: Any, text: str = "not run yet") -> None:
    """Say in an empty panel why it is."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)


def folded(text: str, width: int) -> str:
    """A text in lines of about so many characters, broken at blanks."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
