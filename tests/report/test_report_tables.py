"""Tables against formulas written out here, on predictions counted here."""

import csv
import io
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from spiketicket.report.cost_part import energy_table, operations_table, sparsity_table
from spiketicket.report.figures.network import GROUPS
from spiketicket.report.load import read_run
from spiketicket.report.numbers import spread
from spiketicket.report.stages_part import (
    comparison_table,
    never_predicted,
    size_table,
    stages_table,
)
from spiketicket.report.summary import verdict_card
from spiketicket.report.tables import Cell, Table

MakeRun = Callable[..., Path]


def words(table: Table) -> list[dict[str, str]]:
    columns = [name.replace("\n", " ") for name in table.columns]
    return [dict(zip(columns, (str(cell.text) for cell in row), strict=True)) for row in table.rows]


def test_the_intervals_of_a_stage() -> None:
    found = spread({0: 91.0, 1: 94.0, 2: 92.5}, 200, 0.9)
    values = [91.0, 94.0, 92.5]
    mean, error = statistics.fmean(values), statistics.stdev(values) / 3**0.5
    low, high = stats.t.interval(0.9, 2, mean, error)
    assert found.seeds is not None
    assert (found.seeds.low, found.seeds.high) == pytest.approx((low, high))
    wilson = stats.binomtest(185, 200).proportion_ci(0.9, method="wilson")
    assert found.samples is not None
    assert found.samples.low == pytest.approx(100 * wilson.low)
    assert found.samples.high == pytest.approx(100 * wilson.high)
    assert found.sd == pytest.approx(statistics.stdev(values))


def test_one_seed_and_unknown_samples_have_no_interval() -> None:
    found = spread({3: 91.0}, None, 0.95)
    assert (found.mean, found.sd, found.seeds, found.samples) == (91.0, None, None, None)


def test_one_test_sample() -> None:
    found = spread({0: 100.0}, 1, 0.95)
    assert found.samples is not None
    assert 0 < found.samples.low < found.samples.high == 100


def test_an_interval_stays_within_all_percentages() -> None:
    found = spread({0: 99.0, 1: 80.0}, 100, 0.95)
    assert found.seeds is not None
    assert (found.seeds.low, found.seeds.high) == (0.0, 100.0)


def test_the_stages_and_their_seeds(make_run: MakeRun) -> None:
    folder = make_run(seeds=2)
    rows = words(stages_table(read_run(folder)))
    assert [row["stage"] for row in rows] == [
        "ticket",
        "dense",
        "random trained",
        "random frozen",
    ]
    assert (rows[0]["seed 0"], rows[0]["seed 1"], rows[0]["mean"]) == ("92.00", "93.00", "92.50")


def test_the_test_time_flip_and_the_precision_are_told(make_run: MakeRun) -> None:
    folder = make_run(seeds=2)
    before = stages_table(read_run(folder))
    assert not any("flip" in column for column in before.columns)
    assert "Trained in" not in before.note
    result = json.loads((folder / "result.json").read_text())
    ticket, dense = result["stages"][:2]
    ticket |= {"test_accuracy_flip": [92.5, 94.0], "precision": "bf16"}
    dense |= {"precision": "bf16"}
    (folder / "result.json").write_text(json.dumps(result))
    table = stages_table(read_run(folder))
    rows = words(table)
    assert rows[0]["mean with test-time flip"] == "93.25"
    assert rows[1]["mean with test-time flip"] == "–"
    assert "not judged" in table.note
    assert table.note.endswith("Trained in bf16.")


@pytest.mark.parametrize(
    ("basis", "covers"),
    [
        ("both", "seeds and test samples"),
        ("seeds", "seeds"),
        ("samples", "test samples"),
        (None, "–"),
    ],
)
def test_a_comparison_says_what_its_interval_covers(
    make_run: MakeRun, basis: str | None, covers: str
) -> None:
    folder = make_run()
    result = json.loads((folder / "result.json").read_text())
    for pair in result["verdict"]["comparisons"].values():
        # an earlier version gave p values, which nothing reads
        pair |= {"basis": basis, "mcnemar_p": [0.5, 0.5]}
    (folder / "result.json").write_text(json.dumps(result))
    table = comparison_table(read_run(folder))
    assert table is not None
    assert {row["it covers"] for row in words(table)} == {covers}


@pytest.mark.parametrize("ladder", [False, True])
def test_the_strongest_control_is_named_at_the_head(make_run: MakeRun, ladder: bool) -> None:
    run = read_run(make_run(seeds=2, ladder=ladder))
    own = [p for p in run.pairs if p.ticket == run.main and p.control not in ("dense", "constant")]
    trained = [p for p in own if p.control != "random_frozen"]
    best = max(trained, key=lambda p: p.control_accuracy)
    card = str(verdict_card(run))
    assert "strongest control" in card
    assert f"{run.title(best.control)}, {best.control_accuracy:.2f} %" in card


def test_a_ladder_compares_each_stage_with_its_own_rung(make_run: MakeRun) -> None:
    run = read_run(make_run(ladder=True))
    table = stages_table(run)
    assert [str(table.rows[i][0].text) for i in table.main] == ["pepsp"]
    ladder = words(size_table(run))
    assert ladder[2]["patches"] == "8 of 16"
    assert ladder[2]["ConvPEP"] == "2.01 M"
    compared = comparison_table(run)
    assert compared is not None
    against = [(row["ticket"], row["minus"]) for row in words(compared)]
    assert len(against) == 6
    assert ("patch", "patch random") in against
    assert ("pepsp", "pepsp random trained") in against
    assert ("pepsp", "dense") in against


def test_a_class_that_is_never_predicted(make_run: MakeRun) -> None:
    folder = make_run(seeds=1)
    path = folder / "seed-0" / "dense" / "predictions.npy"
    found = np.load(path)
    found[found == 2] = 1
    np.save(path, found)
    assert never_predicted(read_run(folder)) == ["dense, seed 0: never answers c."]


def test_operations_are_means_over_seeds(make_run: MakeRun) -> None:
    run = read_run(make_run())
    table = operations_table(run)
    assert table is not None
    rows = words(table)
    whole = [row for row in rows if row["part"] == "whole net"]
    assert [row["stage"] for row in whole] == ["ticket", "dense", "random trained", "random frozen"]
    measure = run.layers_of("ticket")
    assert measure is not None
    done = sum(layer.macs + layer.acs for layer in measure.layers)
    dense = sum(layer.dense for layer in measure.layers)
    assert whole[0]["share of it left"] == f"{100 * done / dense:.2f} %"


def test_parts_come_as_the_data_flows(make_run: MakeRun) -> None:
    table = operations_table(read_run(make_run(ladder=True)))
    assert table is not None
    parts = [row["part"] for row in words(table) if row["stage"] == "dense"]
    assert parts == ["whole net", *(name for name in GROUPS.values() if name in parts)]
    assert len(parts) > 3


def test_energy_is_against_the_dense_net(make_run: MakeRun) -> None:
    run = read_run(make_run())
    table = energy_table(run)
    assert table is not None
    values = {(str(r[0].text), str(r[1].text)): (r[5].value, r[6].value) for r in table.rows}
    ticket, dense = values["45nm-fp32", "ticket"], values["45nm-fp32", "dense"]
    assert ticket[0] is not None
    assert dense[0] is not None
    assert ticket[1] == pytest.approx(ticket[0] / dense[0])
    assert dense[1] == 1


def test_memory_stands_beside_the_arithmetic_where_it_was_counted(make_run: MakeRun) -> None:
    folder = make_run()
    table = energy_table(read_run(folder))
    assert table is not None
    assert {row["memory, apart"] for row in words(table)} == {"–"}
    for path in folder.glob("seed-*/*/measure.json"):
        measured = json.loads(path.read_text())
        for priced in measured["energy"]:
            priced |= {"memory_pj": 2000.0, "with_memory_pj": 5000.0}
        path.write_text(json.dumps(measured))
    table = energy_table(read_run(folder))
    assert table is not None
    found = {(row["memory, apart"], row["sum with both"]) for row in words(table)}
    assert found == {("2 nJ", "5 nJ")}


def test_a_twin_is_said_to_judge_nothing(make_run: MakeRun) -> None:
    folder = make_run()
    result = json.loads((folder / "result.json").read_text())
    verdict = result["verdict"]
    judged = len(verdict["comparisons"])
    twin = verdict["comparisons"]["dense"] | {"control": "quantised_ann"}
    verdict["beside"] = {"quantised_ann": twin}
    (folder / "result.json").write_text(json.dumps(result))
    run = read_run(folder)
    table = comparison_table(run)
    assert table is not None
    told = [row["minus"] for row in words(table)]
    assert "quantised ann, not judged" in told
    assert sum("not judged" in text for text in told) == 1
    assert f"<dt>comparisons</dt><dd>{judged}</dd>" in str(verdict_card(run))


def test_the_four_sparsities_stay_apart(make_run: MakeRun) -> None:
    table = sparsity_table(read_run(make_run()))
    assert table is not None
    (first, *_) = words(table)
    assert list(first.values())[1:6] == ["50 %", "50 %", "87 %", "3 of 96", "1 of 50"]
    assert first["float32 over the file"] == "9.26 ×"


def test_what_is_not_measured_has_no_table(make_run: MakeRun) -> None:
    run = read_run(make_run(measured=False))
    assert operations_table(run) is energy_table(run) is sparsity_table(run) is None


def test_a_table_writes_the_values_it_sorts_by() -> None:
    table = Table(
        name="t",
        columns=("a\nb", "c"),
        rows=((Cell("x"), Cell("1.5 k", 1500.0)), (Cell("=y"), Cell("–"))),
    )
    assert list(csv.reader(io.StringIO(table.csv))) == [["a b", "c"], ["x", "1500"], ["'=y", "–"]]
    assert 'data-v="1500"' in table.html
    assert "data-v" not in Table(name="t", columns=("a",), rows=((Cell("92.50", 92.5),),)).html
