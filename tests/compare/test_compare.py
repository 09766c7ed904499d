"""Methods beside each other: one dense net, whole costs, and files that say the same."""

import inspect
import json
import re
import xml.etree.ElementTree as ET

import pytest
from command import spiketicket
from one_stage import stage_of

from spiketicket import compare
from spiketicket.cli.compare import compare as compare_command
from spiketicket.compare.figures import figures
from spiketicket.compare.found import Compared, Cost, Row
from spiketicket.compare.methods import compare_methods
from spiketicket.errors import RecipeError, UserError
from spiketicket.experiment.keys import stage_keys
from spiketicket.recipe import parse_recipe
from spiketicket.sweep.plan import make_plan

TABLES = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 60},
    "model": {"name": "convnet", "width": 0.125, "timesteps": 1, "weights": "float"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.5, "score_init": "constant"},
    "train": {"epochs": 1, "batch_size": 20, "tune": "off", "kernel": "eager"},
}
METHODS = ("edge_popup", "imp", "random_reinit", "snip")
SNIP = "snip.samples=20"
TOML = """
name = "tiny"
[data]
name = "digits"
train_limit = 60
[model]
name = "convnet"
width = 0.125
timesteps = 1
weights = "float"
[neuron]
name = "lif"
[ticket]
name = "edge_popup"
density = 0.5
[train]
epochs = 1
tune = "off"
batch_size = 20
kernel = "eager"
[controls]
random_trained = false
random_frozen = false
"""


def entries(methods=METHODS, densities=(0.6, 0.5), **given):
    return compare.make_entries(TABLES, methods, densities, 1, **given)


def test_every_method_has_the_same_net_data_and_budget():
    made = entries(method_options=(SNIP,))
    assert [(e.method, e.density) for e in made] == [(m, d) for m in METHODS for d in (0.6, 0.5)]
    for section in ("data", "model", "neuron", "train", "controls", "seed"):
        assert len({repr(getattr(e.run.recipe, section)) for e in made}) == 1
    tickets = {e.method: e.run.recipe.ticket for e in made}
    assert tickets["edge_popup"].score_init == "constant"  # the recipe's own method keeps its own
    assert tickets["snip"].samples == 20
    assert tickets["imp"].budget == "each"
    shared = entries(budget="total", method_options=(SNIP,))
    assert {e.run.recipe.ticket.budget for e in shared if e.method != "edge_popup"} == {"total"}


def test_what_methods_have_in_common_is_trained_once(tmp_path):
    made = entries(("imp", "random_reinit", "magnitude"), (0.5, 0.4))
    plan = make_plan([e.run for e in made], tmp_path)
    shared = [task.stages[-1] for task in plan.tasks if task.kind == "stage"]
    assert sorted(shared) == ["dense", "pretrained", "round_1", "round_2", "round_3"]
    keys = {
        (e.method, e.density): stage_keys(e.run.recipe, 0, "cpu", {"spiketicket": "1"})
        for e in made
    }
    assert len({k["dense"] for k in keys.values()}) == 1
    assert len({k["pretrained"] for k in keys.values()}) == 1
    assert keys["imp", 0.5]["round_2"] == keys["random_reinit", 0.4]["round_2"]
    assert len({k["ticket"] for k in keys.values()}) == len(keys)
    own = entries(("imp",), (0.5,), method_options=("imp.scope=layer",))[0].run.recipe
    other = stage_keys(own, 0, "cpu", {"spiketicket": "1"})
    assert other["pretrained"] == keys["imp", 0.5]["pretrained"]
    assert other["round_1"] != keys["imp", 0.5]["round_1"]
    assert stage_of(own, "round_1").epochs(own) == 1


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A comparison from the command line: its folder and its standard output."""
    place = tmp_path_factory.mktemp("compare")
    recipe = place / "tiny.toml"
    recipe.write_text(TOML)
    command = [
        "compare",
        str(recipe),
        "--methods",
        "imp,snip",
        "--density",
        "0.6,0.5",
        "--option",
        SNIP,
        "--runs",
        str(place / "runs"),
        "--out",
        str(place / "out"),
        "--record",
        str(place / "r.jsonl"),
        "--cpus-per-run",
        "1",
        "--json",
        "--seeds",
        "2",
    ]
    ended = spiketicket(*command)
    assert ended.exit_code == 0, ended.output
    return place, json.loads(ended.stdout), command


@pytest.mark.slow
def test_costs_are_those_of_the_ticket_with_its_search(done):
    place, found, _ = done
    rows = {(row["method"], row["asked"]): row for row in found["rows"]}
    assert len(rows) == 4
    samples = round(found["dense"]["cost"]["sample_passes"])
    for (method, _), row in rows.items():
        cost = row["cost"]
        assert row["density"] == pytest.approx(row["asked"], abs=1e-3)
        assert len(row["accuracy"]) == 2
        if method != "imp":
            assert (cost["trainings"], cost["epochs"]) == (1, 1)
            assert cost["sample_passes"] == samples + (20 if method == "snip" else 0)
    assert rows["imp", 0.6]["cost"]["trainings"] == 3
    assert rows["imp", 0.5]["cost"]["trainings"] == 4
    folders = [p for p in (place / "runs").glob("tiny-*") if (p / "seed-0/pretrained").is_dir()]
    for folder in folders:
        stages = [p for p in (folder / "seed-0").iterdir() if p.is_dir()]
        walls = {p.name: json.loads((p / "timing.json").read_text())["wall_s"] for p in stages}
        assert sum(walls.values()) > max(
            row["cost"]["wall_s"] for (m, _), row in rows.items() if m == "snip"
        )
    line = json.loads((place / "r.jsonl").read_text())
    assert line["rows"] == found["rows"]
    assert line["recipe"]["train"]["epochs"] == 1
    assert "ticket" not in line["recipe"]


@pytest.mark.slow
def test_the_page_and_the_figures_say_the_same(done):
    place, found, _ = done
    out = place / "out"
    assert sorted(p.name for p in out.iterdir()) == [
        "accuracy-cost.csv",
        "accuracy-cost.svg",
        "accuracy-density.csv",
        "accuracy-density.svg",
        "compare.html",
        "compare.json",
    ]
    for name in ("accuracy-cost", "accuracy-density"):
        tree = ET.fromstring((out / f"{name}.svg").read_text())
        words = {text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")}
        assert {"imp", "snip"} <= words
        dots = [c for c in tree.iter("{http://www.w3.org/2000/svg}circle") if c.get("r") == "3.5"]
        assert len(dots) == 4
        lines = (out / f"{name}.csv").read_text().splitlines()
        assert len(lines) == 5
    page = (out / "compare.html").read_text()
    for row in found["rows"]:
        mean = sum(row["accuracy"].values()) / 2
        assert f"{mean:.2f}" in page
    assert json.loads((out / "compare.json").read_text())["rows"] == found["rows"]


@pytest.mark.slow
def test_the_table_of_the_results_has_every_ticket(done, readme_writer, tmp_path):
    place, found, _ = done
    (tmp_path / "compare-tiny.jsonl").write_text((place / "r.jsonl").read_text())
    (table,) = readme_writer.tables(tmp_path, tmp_path.parent / "docs")
    assert "(../results/compare-tiny/accuracy-density.svg)" in table
    _, _, imp, snip = [line.split(" | ") for line in table.splitlines()[-4:]]
    assert [imp[0], snip[0]] == ["| imp", "| snip"]
    for line, method in ((imp, "imp"), (snip, "snip")):
        own = sorted((r for r in found["rows"] if r["method"] == method), key=lambda r: -r["asked"])
        for cell, row in zip(line[1:], own, strict=True):
            mean = sum(row["accuracy"].values()) / 2
            assert cell.startswith(f"{mean:.2f} ± ")
            assert f"{row['outcome']}, {row['difference']:+.2f} ({row['low']:+.2f} to " in cell
            assert f"; {row['cost']['trainings']}, " in cell


@pytest.mark.slow
def test_a_finished_comparison_is_read_not_trained(done, monkeypatch):
    _, found, command = done
    from spiketicket.experiment import train

    monkeypatch.setattr(train, "fit", lambda *a: pytest.fail("trained again"))
    monkeypatch.setenv("COLUMNS", "200")
    again = spiketicket(*(part for part in command if part != "--json"))
    assert again.exit_code == 0
    assert "samples forward" in again.stdout
    assert "dense, trained" in again.stdout
    first = spiketicket(*command)
    assert json.loads(first.stdout)["rows"] == found["rows"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--methods", "imp,impp"], "unknown ticket search method (got 'impp'). Did you mean"),
        (["--methods", "imp,imp"], "--methods: is given twice"),
        (["--density", "0.5,half"], "--density: must be numbers"),
        (["--density", "1.5"], "must be < 1"),
        (["--methods", "multisp"], "makes patch tickets"),
        (["--set", "ticket.density=0.1"], "the ticket is what differs"),
        (["--option", "snip.samples=3"], "--option: must be METHOD.KEY=VALUE"),
        (["--methods", "imp", "--option", "imp.sahre=0.5"], "sahre"),
        (["--methods", "edge_popup", "--budget", "total"], "no method here has several trainings"),
    ],
)
def test_bad_input_is_told_in_a_line(tmp_path, options, words):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TOML)
    given = {"--methods": "imp", "--density": "0.5"}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    command = ["compare", str(recipe), "--runs", str(tmp_path / "runs")]
    ended = spiketicket(*command, *(p for pair in given.items() for p in pair))
    assert ended.exit_code == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "runs").exists()


def test_a_method_has_one_colour_whatever_it_is_compared_with():
    cost = Cost(1, 1.0, 100.0, 2.0)
    recipe = parse_recipe(TABLES)

    def colours(*methods):
        rows = [
            Row(
                method=m,
                asked=0.5,
                density=0.5,
                accuracy={0: 90.0 + i},
                difference=None,
                low=None,
                high=None,
                control=None,
                control_accuracy=None,
                outcome="ties",
                cost=cost,
                file_bytes=9.0,
                hash="",
            )
            for i, m in enumerate(methods)
        ]
        found = Compared(
            recipe=recipe,
            budget="each",
            samples=100,
            dense={0: 95.0},
            dense_cost=cost,
            rows=tuple(rows),
            missing=(),
            machine={},
        )
        found_colours = []
        for figure in figures(found):
            labels = re.findall(r'class="label t-([^"]*)">([^<]*)<', figure.svg)
            assert len(labels) == len(methods)
            assert all(f'class="f-{kind}"' in figure.svg for kind, _ in labels)
            found_colours.append({name: kind for kind, name in labels})
        assert found_colours[0] == found_colours[1]
        return found_colours[0]

    some, others = colours("edge_popup", "imp", "snip"), colours("snip", "file.py:Own", "imp")
    assert some["snip"] == others["snip"]
    assert some["imp"] == others["imp"]
    assert len({*some.values(), *others.values()}) == 4


def test_unfinished_runs_are_named(tmp_path):
    with pytest.raises(UserError, match="none of the runs is finished"):
        compare.collect(entries(("snip",), (0.5,), method_options=(SNIP,)), tmp_path)
    with pytest.raises(RecipeError, match=r"imp: .*rounds and share"):
        entries(("imp",), (0.5,), method_options=("imp.rounds=2", "imp.share=0.5"))


def test_the_defaults_are_those_of_the_command():
    command = inspect.signature(compare_command).parameters
    given = inspect.signature(compare_methods).parameters
    assert command["methods"].default == ",".join(given["methods"].default)
    assert command["density"].default == ",".join(map(str, given["densities"].default))
    assert command["seeds"].default == given["seeds"].default
    assert command["budget"].default.value == given["budget"].default
