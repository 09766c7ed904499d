"""The studies' files: every one at every scale is runs that could start."""

from __future__ import annotations

import itertools

import pytest
import torch
from one_stage import names_of

from spiketicket.errors import RecipeError, UserError
from spiketicket.methods.building import build_network
from spiketicket.methods.method import check
from spiketicket.models.blocks import DataShape
from spiketicket.reproduce import SCALES, cells_of, load_study, study_names
from spiketicket.reproduce import cells as cells_module
from spiketicket.reproduce import study as module
from spiketicket.reproduce.collect import stage_of
from spiketicket.reproduce.published import published
from spiketicket.reproduce.runner import plan_studies

pytestmark = pytest.mark.slow


NAMES = ("table1", "table2", "fig2", "fig3", "fig4", "fig5", "energy", "reward1", "reward2")
NAMES = (*NAMES, "multisp")
SHAPES = {
    "cifar10": (3, 32, 32, 10),
    "cifar100": (3, 32, 32, 100),
    "digits": (1, 8, 8, 10),
    "dvs_gesture": (2, 128, 128, 11),
    "cifar10_dvs": (2, 128, 128, 10),
    "nmnist": (2, 34, 34, 10),
    "digits_events": (2, 32, 32, 10),
}


def shape_of(data):
    channels, height, width, classes = SHAPES[data.name]
    if data.name == "digits":
        height = width = data.canvas or data.size
    height, width = (getattr(data, k, None) or v for k, v in (("height", height), ("width", width)))
    return DataShape(
        channels=channels,
        height=height,
        width=width,
        classes=classes,
        frames=getattr(data, "steps", 1),
    )


def shallow(recipe):
    """With one block of a transformer: what a ladder is refused for does not depend on depth."""
    if not hasattr(recipe.model, "depth"):
        return recipe
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"depth": 1})})


def test_the_studies_of_the_paper_are_there():
    assert study_names() == NAMES
    with pytest.raises(UserError, match="There are table1, table2"):
        load_study("fig9")


@pytest.mark.parametrize(("name", "scale"), list(itertools.product(NAMES[:6], SCALES)))
def test_every_cell_is_a_network_that_fits_its_data(name, scale):
    study = load_study(name)
    cells = cells_of(study, scale)
    seen = set()
    for cell in cells:
        recipe, shape = cell.recipe, shape_of(cell.recipe.data)
        key = (cell.panel, cell.series)  # along an axis the network is built alike
        if key not in seen:
            seen.add(key)
            with torch.device("meta"):
                build_network(recipe, shape)
            check(shallow(recipe), shape)
        if shape.frames > 1 or "events" in recipe.data.name:
            assert recipe.model.timesteps == recipe.data.steps
            assert not recipe.train.timestep_ramp  # measured to hurt on recordings
        published(cell.published)
    places = {(c.panel, c.series, c.x): c for c in cells}
    assert len(places) == len(cells)
    # two panels may meet in one run, as Fig. 4's in T = 4 with decay 0.99; one panel has no twins
    assert len({(c.panel, c.recipe.folder_name) for c in cells}) == len(cells)
    stages = {stage_of(c.recipe, role) for c in cells for role in study.stages}
    run = {name for c in cells for name in names_of(c.recipe)}
    assert stages & run


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_about_stages_that_are_run(name):
    study = load_study(name)
    for scale in SCALES:
        cells = cells_of(study, scale)
        for claim in study.claims:
            about = [
                c
                for c in cells
                if (not claim.panels or c.panel in claim.panels)
                and (not claim.series or c.series in claim.series)
            ]
            hits = 0
            for cell in about:
                for term in filter(None, (claim.a, claim.b)):
                    if term.series in ("", cell.series):
                        hits += stage_of(cell.recipe, term.stage) in names_of(cell.recipe)
            assert hits, (name, scale, claim.text)


def test_the_papers_own_differences_are_on_the_side_of_the_margin_that_is_stated():
    for name in ("table1", "table2"):
        study = load_study(name)
        for claim in study.claims:
            for cell in cells_of(study, "paper"):
                known = published(cell.published)
                if claim.series and cell.series not in claim.series:
                    continue
                a, b = (known.accuracy(cell.printed, t.stage) for t in (claim.a, claim.b))
                if a is None or b is None:
                    continue
                inside = a - b >= -claim.margin
                assert inside == (claim.expect == "holds"), (cell.title, cell.series, a, b)


def test_paper_scale_has_the_published_settings():
    tables = {name: cells_of(load_study(name), "paper") for name in NAMES}
    assert len(tables["table1"]) == 5 * 2 * 4
    assert {c.recipe.ticket.density for c in tables["table1"]} == {0.5}
    assert {c.recipe.neuron.decay for c in tables["table1"] if c.recipe.neuron.name == "lif"} == {
        0.99
    }
    assert len(tables["table2"]) == 2 * 2 * 4
    for cell in tables["table2"]:
        kept, density = (44, 0.513) if cell.panel.endswith("tiny") else (40, 0.451)
        assert round(cell.recipe.ticket.keep * 64) == kept
        if cell.series == "Spikeformer":
            assert cell.recipe.ticket.density == density
        else:
            images = not hasattr(cell.recipe.data, "steps")
            assert cell.recipe.model.timesteps == (1 if images else 4)
    for name, data in (("fig2", "cifar10"), ("fig3", "dvs_gesture")):
        assert {c.x for c in tables[name]} == {20, 30, 40, 50, 60, 70, 80}
        assert {c.recipe.data.name for c in tables[name]} == {data}
        methods = {(c.recipe.model.name, c.recipe.ticket.name) for c in tables[name]}
        assert methods == {("vgg9", "edge_popup"), ("spikformer", "patches")}
    tiny = [c for c in tables["fig4"] if "tiny" in c.panel]
    assert {stage_of(c.recipe, "main") for c in tiny} == {"pepsp"}
    steps = {c.x for c in tables["fig4"] if "timesteps" in c.panel}
    decays = {c.x for c in tables["fig4"] if "decay" in c.panel}
    assert steps == {1, 2, 4, 6, 8}
    assert decays == {0.99, 0.8, 0.6, 0.4, 0.2}
    assert {c.x for c in tables["fig5"] if "pruned" in c.panel} == {20, 30, 40, 50, 60}


def test_studies_of_the_same_runs_share_them():
    alone = {r.recipe.folder_name for r in plan_studies(["table1"], "small").runs}
    together = plan_studies(["table1", "energy", "reward1"], "small").runs
    assert {r.recipe.folder_name for r in together} == alone


def test_seeds_replace_the_studys_number_and_the_most_are_run():
    study = load_study("table1")
    assert {c.seeds for c in cells_of(study, "smoke", 3)} == {(0, 1, 2)}
    assert {r.seeds for r in plan_studies(["table1"], "small", 2).runs} == {(0, 1)}


def test_mistakes_in_cells_are_told_together(changed):
    study = load_study("fig2")
    bad = {"set": {"train.epochs": 0, "model.wide": 2}}
    series = tuple(changed(s, **bad) for s in study.series)
    with pytest.raises(RecipeError) as error:
        cells_of(changed(study, series=series), "smoke")
    text = str(error.value)
    assert "train.epochs" in text
    assert "fig2, smoke, digits-vgg9, SLT" in text
    assert "LT" in text
    with pytest.raises(UserError, match="no scale"):
        cells_of(changed(study, scales={}), "smoke")


def test_a_study_that_names_what_is_not_there_is_no_study(tmp_path):
    table = load_study("fig2").model_dump(mode="json")
    for change, told in (
        ({"claims": [{"text": "x", "a": {"stage": "ticket"}, "series": ["XYZ"]}]}, "XYZ"),
        ({"axes": {}}, "no axis"),
        ({"typo": 1}, "typo"),
    ):
        with pytest.raises(UserError, match=told):
            module._parsed(module.Study, {**table, **change}, tmp_path / "x.toml")


def test_another_choice_of_a_family_keeps_only_what_it_knows():
    base = module.Base(
        title="t",
        recipe="cifar10-vgg9-binw",
        name="n",
        set={"neuron": {"decay": 0.99}, "train": {"epochs": 9}},
    )
    made = cells_module._recipe(base, [base.set, {"neuron.name": "relu"}], "here")
    assert made.neuron.name == "relu"
    assert made.name == "n"
    assert made.train.epochs == 9
    lif = cells_module._recipe(base, [base.set], "here")
    assert lif.neuron.decay == 0.99
