"""What the ticket answers: which classes are taken for which, and samples right and wrong."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spiketicket.experiment.answers import Answers
from spiketicket.report.figures.canvas import WIDTH, Figure, drawing, px, rect, shortened, text
from spiketicket.report.figures.pictures import colours
from spiketicket.report.figures.recording import image
from spiketicket.report.markup import Markup, element, joined
from spiketicket.report.numbers import share
from spiketicket.report.runs import Run
from spiketicket.report.tables import Cell, Table

MOST_DRAWN = 24
"""Classes of a matrix that can still be read; of more there is the table alone."""
_LEFT, _NAME, _LISTED = 92.0, 13, 10
_COLUMNS, _GAP = 5, 8.0
_SIDE = (WIDTH - (_COLUMNS - 1) * _GAP) / _COLUMNS


def confusions(run: Run) -> NDArray[np.int64] | None:
    """Answers of the main ticket over all seeds, [true class, answer]; None where labels or
    predictions are not known.
    """
    if run.answers is None:
        return None
    labels, classes = run.answers.labels, len(run.answers.classes)
    found = np.zeros((classes, classes), np.int64)
    for stage in run.stages_of(run.main):
        given = stage.predictions
        if given is None or len(given) != len(labels) or not _within(given, classes):
            return None
        np.add.at(found, (labels, given), 1)
    return found if found.any() else None


def _within(given: NDArray[np.int64], classes: int) -> bool:
    return bool(((given >= 0) & (given < classes)).all())


def confusion_matrix(run: Run) -> Figure | None:
    """A row per true class, a column per answer; shares of the row."""
    counts, answers = confusions(run), run.answers
    if counts is None or answers is None or len(counts) > MOST_DRAWN:
        return None
    size = len(counts)
    cell = min((WIDTH - _LEFT) / size, 30.0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    others = shares[~np.eye(size, dtype=np.bool_)]
    most = float(others.max(initial=0.0)) or 1.0
    names = [shortened(answers.class_name(i), _NAME) for i in range(size)]
    top = 16 + 5.5 * max(map(len, names))
    parts: list[Markup] = [text(0, top - 6, "class", "dim")]
    for i, name in enumerate(names):
        parts.append(text(_LEFT - 6, top + (i + 0.5) * cell + 4, name, "label", "end"))
        parts.append(_upright(_LEFT + (i + 0.5) * cell + 4, top - 6, name))
        for j in range(size):
            at = _LEFT + j * cell, top + i * cell
            parts += _cell(answers, counts, (i, j), at=at, cell=cell, most=most)
    seeds = len(run.stages_of(run.main))
    over = f"Over {seeds} seeds. " if seeds > 1 else ""
    return Figure(
        name=f"confusion-{run.main}",
        title=f"Confusion matrix: {run.title(run.main)}",
        caption="Percent of the test samples of a class (rows) that get an answer (columns). "
        f"{over}Full colour is {share(most)} wrong.",
        svg=drawing(top + size * cell + 2, joined(parts), label=_spoken(answers, counts)),
        columns=("class", "answer", "samples", "share_of_class"),
        rows=tuple(
            (answers.class_name(i), answers.class_name(j), int(counts[i, j]), float(shares[i, j]))
            for i in range(size)
            for j in range(size)
        ),
    )


def _cell(
    answers: Answers,
    counts: NDArray[np.int64],
    pair: tuple[int, int],
    *,
    at: tuple[float, float],
    cell: float,
    most: float,
) -> list[Markup]:
    """A cell of the matrix; ``most`` is the share of full colour."""
    (i, j), (x, y) = pair, at
    if not counts[pair]:
        return []
    part = float(counts[pair] / counts[i].sum())
    of, answer = answers.class_name(i), answers.class_name(j)
    tip = f"{of}: {counts[pair]:,} answered {answer}, {share(part)}"
    kind, strength = ("whole", None) if i == j else ("cell", max(part / most, 0.06))
    found = [rect(x, y, cell - 1, cell - 1, class_=kind, tip=tip, opacity=strength)]
    if cell >= 18:
        ink = "tiny mid on" if i != j and part / most > 0.6 else "tiny mid"
        found.append(text(x + cell / 2 - 0.5, y + cell / 2 + 3, f"{100 * part:.0f}", ink))
    return found


def _upright(x: float, y: float, name: str) -> Markup:
    return element("text", name, transform=f"translate({px(x)} {px(y)})rotate(-60)", class_="label")


def _spoken(answers: Answers, counts: NDArray[np.int64]) -> str:
    """The matrix for who does not see it: the most frequent confusions."""
    found = [f"{of} as {answer}, {part}" for of, answer, _, part in _frequent(answers, counts)[:3]]
    return f"Confusion matrix. Most frequent: {'; '.join(found)}" if found else "No wrong answer"


def _frequent(answers: Answers, counts: NDArray[np.int64]) -> list[tuple[str, str, int, str]]:
    """Class, answer, samples and share of the class of the most frequent wrong answers."""
    wrong = counts * ~np.eye(len(counts), dtype=np.bool_)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_LISTED]
    pairs = [divmod(int(place), len(counts)) for place in order if wrong.flat[place]]
    return [
        (
            answers.class_name(i),
            answers.class_name(j),
            int(counts[i, j]),
            share(counts[i, j] / counts[i].sum()),
        )
        for i, j in pairs
    ]


def confusion_table(run: Run) -> Table | None:
    """The most frequent wrong answers."""
    counts, answers = confusions(run), run.answers
    if counts is None or answers is None:
        return None
    rows = tuple(
        (Cell(of), Cell(answer), Cell(f"{samples:,}", samples), Cell(part))
        for of, answer, samples, part in _frequent(answers, counts)
    )
    if not rows:
        return None
    return Table(
        name="confusions",
        columns=("class", "taken for", "samples", "of the class"),
        rows=rows,
        words=2,
        folded="The most frequent wrong answers",
    )


def examples(run: Run) -> Figure | None:
    """A sample of every class."""
    answers = run.answers
    if answers is None or not answers.examples:
        return None
    return _gallery(
        answers,
        {i: answers.class_name(int(answers.labels[i])) for i in answers.examples},
        name="examples",
        title="A sample of every class",
        caption="The first one of the test set.",
    )


def wrong_answers(run: Run) -> Figure | None:
    """Samples that the ticket takes for another class."""
    answers = run.answers
    if answers is None or not answers.wrong:
        return None
    ticket = [s for s in run.stages_of(run.main) if s.seed == answers.seed]
    given = ticket[0].predictions if ticket else None
    if given is None or len(given) != len(answers.labels):
        return None
    seed = f", seed {answers.seed}" if len(run.seeds) > 1 else ""
    return _gallery(
        answers,
        {
            i: f"{answers.class_name(int(answers.labels[i]))} → {answers.class_name(int(given[i]))}"
            for i in answers.wrong
        },
        name=f"wrong-{run.main}",
        title=f"Wrong answers: {run.title(run.main)}{seed}",
        caption="Class → answer, the first ones of the test set.",
    )


def _gallery(
    answers: Answers, names: Mapping[int, str], *, name: str, title: str, caption: str
) -> Figure:
    """Pictures of samples by their index, each with its words."""
    parts: list[Markup] = []
    height = _SIDE * answers.images.shape[2] / answers.images.shape[3]
    for place, (index, words) in enumerate(names.items()):
        x = (place % _COLUMNS) * (_SIDE + _GAP)
        y = (place // _COLUMNS) * (height + 20)
        tip = element("title", f"{words}, test sample {index}")
        parts.append(
            element("g", tip, image(colours(answers.image(index)[None]), x, y, _SIDE, height))
        )
        parts.append(text(x, y + height + 12, shortened(words, _NAME + 1), "tiny dim"))
    lines = -(-len(names) // _COLUMNS)
    return Figure(
        name=name,
        title=title,
        caption=caption,
        svg=drawing(
            lines * (height + 20), joined(parts), label=f"{title}: {', '.join(names.values())}"
        ),
        columns=("image", "words"),
        rows=tuple(names.items()),
    )
