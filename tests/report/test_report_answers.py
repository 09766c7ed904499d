"""The confusion matrix against a count by hand; pictures; what is missing or damaged."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spiketicket.report.figures.answers import (
    confusion_matrix,
    confusion_table,
    confusions,
    examples,
    wrong_answers,
)
from spiketicket.report.load import read_run
from spiketicket.report.parts import SPARED, run_parts

MakeRun = Callable[..., Path]
NAMES = ("zero", "one", "two", "<three>")


def test_the_matrix_counts_every_answer_of_every_seed(make_run: MakeRun) -> None:
    folder = make_run(seeds=2)
    run = read_run(folder)
    truth, counted = np.arange(100) % 4, Counter[tuple[int, int]]()
    for seed in (0, 1):
        given = np.load(folder / f"seed-{seed}/ticket/predictions.npy")
        counted.update(zip(truth.tolist(), given.tolist(), strict=True))
    found = confusions(run)
    assert found is not None
    assert {(i, j): int(found[i, j]) for i, j in np.argwhere(found).tolist()} == counted
    figure = confusion_matrix(run)
    assert figure is not None
    rows = {(of, answer): (n, part) for of, answer, n, part in figure.rows}
    for (i, j), n in counted.items():
        assert rows[NAMES[i], NAMES[j]][0] == n
        of_class = sum(m for (k, _), m in counted.items() if k == i)
        assert rows[NAMES[i], NAMES[j]][1] == n / of_class
    ET.fromstring(figure.svg)
    assert "<three>" not in figure.svg
    assert "&lt;three&gt;" in figure.svg
    table = confusion_table(run)
    assert table is not None
    most = max((n, -i, -j) for (i, j), n in counted.items() if i != j)
    assert [cell.text for cell in table.rows[0]][:3] == [
        NAMES[-most[1]],
        NAMES[-most[2]],
        str(most[0]),
    ]
    wrong = sum(n for (i, j), n in counted.items() if i != j)
    assert sum(int(row[2].text) for row in table.rows) == wrong


def test_pictures_say_what_they_are_and_what_was_answered(make_run: MakeRun) -> None:
    run = read_run(make_run())
    shown, wrong = examples(run), wrong_answers(run)
    assert shown is not None
    assert wrong is not None
    assert shown.rows == tuple(enumerate(NAMES))
    # the ticket of seed 0 takes samples 92 to 99 for the next class
    assert wrong.rows == tuple((i, f"{NAMES[i % 4]} → {NAMES[(i + 1) % 4]}") for i in range(92, 97))
    assert "test sample 92" in wrong.svg
    assert wrong.svg.count("<image") == 5
    ET.fromstring(wrong.svg)


def test_nothing_is_shown_of_what_is_not_known(make_run: MakeRun) -> None:
    folder = make_run(seeds=1)
    (folder / "answers.npz").unlink()
    run = read_run(folder)
    assert not run.notes
    makers = (confusion_matrix, confusion_table, examples, wrong_answers)
    assert [make(run) for make in makers] == [None] * 4
    assert "Answers" not in [part.heading for part in run_parts(run)]


def test_damaged_files_become_notes_or_are_left_out(make_run: MakeRun) -> None:
    folder = make_run(seeds=1, name="one")
    (folder / "answers.npz").write_bytes(b"PK\x03\x04 half of it")
    run = read_run(folder)
    assert [note for note in run.notes if "answers.npz" in note]
    assert confusion_matrix(run) is None
    folder = make_run(seeds=1, name="two")
    # predictions of another test set, and answers that are no class
    for given in (np.zeros(3, np.int64), np.full(100, 9, np.int64)):
        np.save(folder / "seed-0/ticket/predictions.npy", given)
        run = read_run(folder)
        assert confusions(run) is None
    assert examples(run) is not None


def test_of_many_classes_there_is_the_table_alone(make_run: MakeRun) -> None:
    folder = make_run(seeds=1)
    with np.load(folder / "answers.npz") as found:
        arrays = dict(found)
    arrays["classes"] = np.array([f"class {i}" for i in range(25)])
    np.savez(folder / "answers.npz", **arrays)
    run = read_run(folder)
    assert confusion_matrix(run) is None
    assert confusion_table(run) is not None


def test_pages_of_many_runs_can_go_without(make_run: MakeRun) -> None:
    run = read_run(make_run())
    kinds = ("confusion", "confusions", "examples", "wrong")
    assert set(kinds) <= set(SPARED)
    assert "Answers" in [part.heading for part in run_parts(run)]
    assert "Answers" not in [part.heading for part in run_parts(run, kinds)]
