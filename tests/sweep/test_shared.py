"""Stages in common: the same bytes as without, and no key too many or too few."""

import json
import shutil

import pytest

from spiketicket.experiment import measure as measuring
from spiketicket.experiment.find import find
from spiketicket.experiment.keys import stage_keys
from spiketicket.experiment.measure import measure_run
from spiketicket.recipe import parse_recipe
from spiketicket.sweep import run_runs
from spiketicket.sweep.plan import make_plan
from spiketicket.ticket import Ticket

pytestmark = pytest.mark.slow


def keys(run, seed=0):
    return stage_keys(run.recipe, seed, "cpu", {"spiketicket": "1"})


def same(one, other, seeds=(0, 0)):
    a, b = keys(one, seeds[0]), keys(other, seeds[1])
    return {name for name in a if a[name] == b.get(name)}


def test_what_the_stages_of_two_runs_have_in_common(runs):
    (base,) = runs("ticket.density=0.3")
    ends = {"ticket", "random_trained", "random_frozen"}

    def common(axis, **changes):
        (other,) = runs(axis, **changes)
        return same(base, other)

    assert common("ticket.density=0.3", verdict={"margin": 3.0}) == {"dense", *ends}
    assert common("ticket.density=0.4") == {"dense"}
    assert common("train.scores.lr=0.1") == {"dense"}
    assert common("train.weights.lr=0.1") == {"ticket", "random_frozen"}
    assert common("train.checkpoint_steps=7") == {"dense", *ends}
    assert common("controls.bn_affine=true") == {"ticket", "random_frozen"}
    assert common("controls.dense=false") == ends
    for axis in (
        "model.timesteps=2",
        "neuron.name=relu",
        "train.epochs=3",
        "train.tune=rates",
        "data.flip=true",
        "data.root=/x",
        "model.bn_affine=true",
    ):
        assert common(axis) == set()
    assert same(base, base, (0, 1)) == set()
    assert keys(base) != stage_keys(base.recipe, 0, "cuda", {"spiketicket": "1"})
    assert keys(base) != stage_keys(base.recipe, 0, "cpu", {"spiketicket": "2"})


def test_what_the_rungs_of_two_ladders_have_in_common(ladder_runs):
    (base,) = ladder_runs("ticket.keep=0.5")
    everything = set(keys(base))
    patches = {n for n in everything if n.startswith("patch")} | {"selector", "dense"}

    def common(*axes):
        (other,) = ladder_runs(*axes)
        return same(base, other)

    assert common("ticket.keep=0.25") == {"selector", "dense"}
    assert common("ticket.density=0.25") == patches
    assert common("ticket.score=embedding_norm") == {n for n in patches if n != "patch"}
    assert common("train.scores.lr=0.1") == {
        n for n in everything if n not in ("pepsp", "multisp") and "finetune" not in n
    }
    tuned = {"multisp_finetuned", "multisp_finetune_control"}
    assert common("ticket.fine_tune_epochs=2") == everything - tuned


def test_a_stage_that_ranks_by_a_selector_depends_on_its_budget(ladder_runs):
    (base,), (other,) = (
        ladder_runs(f"ticket.selector_share={share}", train={"epochs": 4}) for share in (0.5, 1.0)
    )
    rules = {"patch_random", "patch_fixed", "patch_center", "patch_pixel_energy"}
    assert same(base, other) == {"dense", *rules}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cnn", "cnn, tuned", "ladder"])
def test_sharing_changes_no_byte(tmp_path, runs, ladder_runs, inline, content, kind):
    if kind.startswith("cnn"):
        # So many digits make the recipe in the ticket, and with it the file, longer.
        tune = {"tune": "rates" if "tuned" in kind else "off"}
        made = runs(
            "ticket.density=0.3,0.2000000000001", "seed=0:1", model={"bn_affine": True}, train=tune
        )
        common = ["dense", "dense"]
    else:
        few = {
            "score": "auto",
            "ranker": "own",
            "rungs": ["patch", "pepsp"],
            "patch_controls": ["random"],
            "fine_tune_epochs": 0,
        }
        made = ladder_runs("ticket.density=0.5,0.2", ticket=few)
        tries = ("firing_rate", "embedding_norm")
        common = ["dense", *(f"try_{s}" for s in tries), "patch", "patch_random"]
    swept = inline()
    result = run_runs(made, tmp_path / "swept", swept)
    assert {row["state"] for row in result.rows} == {"done"}
    assert [o.task.stages[-1] for o in swept.orders if o.task.kind == "stage"] == common
    # The second run took over what was made for the first.
    run = made[1]
    find(run.recipe, seeds=len(run.seeds), runs_dir=tmp_path / "alone", threads=1)
    one, other = (content(tmp_path / place / run.folder) for place in ("swept", "alone"))
    assert list(one) == list(other)
    assert [name for name in one if one[name] != other[name]] == []
    place = tmp_path / "swept" / run.folder / "seed-0"
    for stage in set(common):
        assert json.loads((place / stage / "timing.json").read_text())["shared"] is True


def test_what_is_finished_anywhere_is_taken_over_not_trained(tmp_path, runs, inline):
    first, second = runs("ticket.density=0.2,0.3")
    find(first.recipe, runs_dir=tmp_path, threads=1)
    plan = make_plan([first, second], tmp_path)
    assert [task.kind for task in plan.tasks] == ["seed", "verdict"]
    assert plan.tasks[0].sources == {"dense": f"{first.folder}/seed-0/dense"}
    assert plan.tasks[0].epochs == 2 * second.recipe.train.epochs
    run_runs([first, second], tmp_path, inline())
    dense = [
        Ticket.load(tmp_path / r.folder / "seed-0/dense/model.ticket") for r in (first, second)
    ]
    assert dense[0].metadata["recipe_hash"] == first.recipe.hash
    assert dense[1].metadata["recipe_hash"] == second.recipe.hash
    assert make_plan([first, second], tmp_path).tasks == ()


MEASURED = ("measure.json", "sample.npz")


def test_what_was_measured_is_taken_over_as_if_measured_here(tmp_path, runs, inline, monkeypatch):
    # So many digits make the ticket's file longer.
    first, second = runs("ticket.density=0.2,0.3000000000001")
    place, own = (tmp_path / run.folder / "seed-0" / "dense" for run in (first, second))
    find(first.recipe, runs_dir=tmp_path, threads=1)
    measure_run(tmp_path / first.folder, images=30)
    (place / "notes.txt").write_text("anything else")
    run_runs([first, second], tmp_path, inline())
    assert json.loads((own / "timing.json").read_text())["shared"] is True
    assert (own / "notes.txt").read_text() == "anything else"
    taken = {name: (own / name).read_bytes() for name in MEASURED}
    assert all(taken[name] != (place / name).read_bytes() for name in MEASURED)
    real, new = measuring.measure_net, []

    def measure(*args, path, **named):
        new.append(path.parent.name)
        return real(*args, path=path, **named)

    monkeypatch.setattr(measuring, "measure_net", measure)
    measure_run(tmp_path / second.folder, images=30)
    assert "dense" not in new
    for name in MEASURED:
        (own / name).unlink()
    measure_run(tmp_path / second.folder, images=30)
    assert {name: (own / name).read_bytes() for name in MEASURED} == taken


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format": 1'])
def test_measurements_that_are_damaged_or_of_another_ticket_stay_behind(
    tmp_path, runs, inline, damage
):
    first, second = runs("ticket.density=0.2,0.3", train={"epochs": 1})
    find(first.recipe, runs_dir=tmp_path, threads=1)
    measure_run(tmp_path / first.folder, images=5)
    place, own = (tmp_path / run.folder / "seed-0" / "dense" for run in (first, second))
    if damage:
        for name in MEASURED:
            (place / name).write_bytes(damage)
    else:
        for name in MEASURED:
            shutil.copy(place.parent / "ticket" / name, place / name)
    run_runs([first, second], tmp_path, inline())
    assert (own / "result.json").exists()
    assert not any((own / name).exists() for name in MEASURED)


@pytest.mark.parametrize("what", ["versions", "data"])
def test_a_stage_of_other_versions_or_data_is_trained_anew(tmp_path, runs, inline, what):
    first, second = runs("ticket.density=0.2,0.3")
    find(first.recipe, runs_dir=tmp_path, threads=1)
    place = tmp_path / first.folder / "seed-0" / "dense" / "model.ticket"
    old = Ticket.load(place)
    change = {"torch": "1.0"} if what == "versions" else {"checksum": "0123"}
    meta = {**old.metadata, what: {**old.metadata[what], **change}}
    Ticket(old.layers, old.tensors, meta).save(place)
    run_runs([first, second], tmp_path, inline())
    made = Ticket.load(tmp_path / second.folder / "seed-0/dense/model.ticket")
    timing = json.loads((tmp_path / second.folder / "seed-0/dense/timing.json").read_text())
    assert made.metadata[what] != meta[what]
    assert "shared" not in timing


def test_equal_recipes_are_one_run(tmp_path, inline):
    from spiketicket.sweep.plan import merged

    base = {
        "name": "a",
        "data": {"name": "digits"},
        "model": {"name": "convnet"},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": 1, "batch_size": 8, "tune": "off"},
        "seed": 3,
    }
    recipe = parse_recipe(base)
    assert [r.seeds for r in merged([recipe, recipe], 2)] == [(3, 4)]
    assert [r.seeds for r in merged([recipe], [5, 0, 5])] == [(0, 5)]
