"""What the figures share: a panel's frame, the legend, and where published values stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from spiketicket.methods.stages import in_words
from spiketicket.report.figures.canvas import DIAMOND, Scale, mark, px, role, text, y_axis
from spiketicket.report.markup import Markup, element, joined
from spiketicket.reproduce.collect import Row, StageRow, stage_of
from spiketicket.reproduce.published import Published

PANEL, LEFT, RIGHT, TOP, BOTTOM = 300.0, 36.0, 284.0, 48.0, 216.0
HEIGHT = BOTTOM + 42
_STRIP = 34.0
"""Height of the strip of published values."""

Spread = tuple[float, float, float]
"""A mean and both ends of its interval, in percent."""
Printed = tuple[float, float, str]
"""A published value: its place, the value in percent, and its kind."""


@dataclass(frozen=True)
class Key:
    """The legend: samples by their labels, each once, in the order they were drawn."""

    entries: dict[str, Markup] = field(default_factory=dict)

    def add(self, label: str, *sample: Markup) -> None:
        """Take an entry up, unless one of its name is there; a sample is 24 wide, about y = 0."""
        self.entries.setdefault(label, joined(sample))

    def drawn(self, y: float, width: float) -> tuple[Markup, float]:
        """The legend from y on, column by column, what is published last, and where it ends."""
        room = 40 + 6.2 * max(map(len, self.entries), default=0)
        lines = math.ceil(len(self.entries) / max(1, width // room))
        parts = []
        last = sorted(self.entries.items(), key=lambda entry: entry[0].startswith("published"))
        for index, (label, sample) in enumerate(last):
            place = f"translate({px(room * (index // lines))} {px(y + 18 * (index % lines))})"
            parts.append(element("g", sample, text(30, 4, label, "label"), transform=place))
        return joined(parts), y + 18 * lines


def accuracy_axis(
    drawn: Sequence[Spread], marks: Sequence[Printed], known: Published | None, key: Key
) -> tuple[Scale, Markup, Markup]:
    """The scale of what is drawn, its axis, and the published values: in the panel, or all in a
    strip over it.
    """
    low, high = _ends(drawn)
    scale = place = Scale(low=low, high=high, start=BOTTOM, end=TOP)
    axes = []
    values = [value for _, value, _ in marks]
    if not all(low <= value <= high for value in values):
        pad = 0.25 * (max(values) - min(values)) + 0.5
        place = Scale(low=min(values) - pad, high=max(values) + pad, start=TOP + _STRIP, end=TOP)
        scale = Scale(low=low, high=high, start=BOTTOM, end=TOP + _STRIP + 14)
        axes.append(y_axis(place, LEFT, RIGHT, "test accuracy, %", 3))
    axes.append(y_axis(scale, LEFT, RIGHT, "" if axes else "test accuracy, %"))
    if not drawn:
        axes.append(nothing("not run yet"))
    if known is not None and marks:
        key.add(f"published, {known.title}", ring(12, 0, "dense"))
    rings = [ring(x, place(value), kind, f"published: {value:g} %") for x, value, kind in marks]
    return scale, joined(axes), joined(rings)


def _ends(drawn: Sequence[Spread]) -> tuple[float, float]:
    if not drawn:
        return 0.0, 100.0
    means = [d[0] for d in drawn]
    # a wide interval of few seeds must not press the means together
    room = max(2.0, 0.35 * (max(means) - min(means)))
    low = max(min(d[1] for d in drawn), min(means) - room, 0.0)
    high = min(max(d[2] for d in drawn), max(means) + room, 100.0)
    pad = max(0.5, 0.06 * (high - low))
    return max(0.0, low - pad), high + pad


def ring(x: float, y: float, kind: str, tip: str | None = None) -> Markup:
    """What is printed in the paper: a hollow diamond."""
    return mark(DIAMOND, x, y, f"ring s-{kind}", tip)


def nothing(words: str) -> Markup:
    """Say in an empty panel why it is."""
    return text((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2, words, "dim", "middle")


def printed_value(known: Published | None, row: Row, stage_role: str) -> float | None:
    """What the paper prints for a stage of a row, in percent."""
    if known is None:
        return None
    return known.accuracy(row.cell.printed, stage_of(row.cell.recipe, stage_role))


def kind_of(row: Row, stage_role: str) -> str:
    """The kind of a stage of a row, as in the report."""
    return role(stage_of(row.cell.recipe, stage_role))


def role_title(row: Row, stage_role: str) -> str:
    """A stage in words."""
    words = {
        "main": "ticket",
        "finetuned": "ticket, fine-tuned",
        "dense": "dense, trained",
        "finetune_control": "ticket, only the rest trained",
    }
    stage = stage_of(row.cell.recipe, stage_role)
    if stage_role == "random" and stage != "patch_random":
        return "random mask, trained"
    if stage_role in words:
        return words[stage_role]
    known = row.stages.get(stage)
    return known.title if known else in_words(stage)


def spread(stage: StageRow, row: Row) -> Spread:
    """Mean and both ends of its interval, in percent."""
    interval = stage.interval(row.cell.recipe.verdict.confidence)
    return stage.mean, *((interval.low, interval.high) if interval else (stage.mean, stage.mean))
