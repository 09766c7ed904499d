"""Fine-tuning a parameter ticket: what moves, what does not, and its control."""

import json

import numpy as np
import pytest
from one_stage import names_of, stage_of
from recipes import varied

from spiketicket.cli.print_result import print_find
from spiketicket.experiment.find import find
from spiketicket.experiment.keys import stage_keys
from spiketicket.recipe import parse_recipe
from spiketicket.ticket import Ticket

pytestmark = pytest.mark.slow


BASE = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 200},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 1, "weights": "float"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3, "fine_tune_epochs": 2},
    "train": {"epochs": 2, "batch_size": 50, "tune": "off"},
}
TUNED, CONTROL = "ticket_finetuned", "ticket_finetune_control"


def recipe(**sections):
    return varied(BASE, **sections)


def tickets(folder, seed=0):
    return {p.parent.name: Ticket.load(p) for p in folder.glob(f"seed-{seed}/*/model.ticket")}


def test_no_fine_tuning_leaves_hash_and_stages_as_they_were():
    without = recipe(ticket={"fine_tune_epochs": 0})
    plain = parse_recipe({**BASE, "ticket": {"name": "edge_popup", "density": 0.3}})
    assert without.hash == plain.hash != recipe().hash
    assert not set(names_of(without)) & {TUNED, CONTROL}


def test_there_is_a_control_only_where_it_has_something_to_train():
    resnet = {"name": "resnet19", "width": 0.0625}
    assert CONTROL not in names_of(recipe())
    assert CONTROL not in names_of(recipe(model={"name": "vgg9", "pools": 3}))
    assert CONTROL in names_of(recipe(model=resnet))  # its linear layers have biases
    assert CONTROL in names_of(recipe(model={"bn_affine": True}))
    assert CONTROL in names_of(recipe(ticket={"fine_tune_bn_affine": True}))


@pytest.mark.parametrize("weights", ["float", "binary"])
def test_the_mask_stays_and_the_surviving_weights_move(tmp_path, weights):
    made = recipe(
        model={"weights": weights}, train={"epochs": 2, "batch_size": 50, "weights": {"lr": 0.05}}
    )
    found = find(made, runs_dir=tmp_path, threads=1)
    assert list(found.stages)[-1] == TUNED
    assert found.stages[TUNED][0].facts["trained_epochs"] == 2
    by_stage = tickets(found.folder)
    moved = 0
    for before, after in zip(by_stage["ticket"].layers, by_stage[TUNED].layers, strict=True):
        assert np.array_equal(before.mask, after.mask)
        assert after.kind == before.kind == weights
        assert not after.weight()[~after.mask].any()
        moved += int((before.weight() != after.weight()).sum())
    assert moved > 0
    told = found.verdict["sentences"][-1]
    assert "No control: the net has nothing to train" in told
    assert list(found.verdict["fine_tuning"]) == ["ticket"]


def test_a_tuned_binary_ticket_has_other_signs_than_its_ticket(tmp_path, capsys):
    made = recipe(model={"weights": "binary"}, ticket={"fine_tune_bn_affine": True})
    found = find(made, runs_dir=tmp_path, threads=1)  # at the rate that recipes have
    by_stage = tickets(found.folder)
    kept = flipped = 0
    for before, after in zip(by_stage["ticket"].layers, by_stage[TUNED].layers, strict=True):
        kept += before.kept
        flipped += int((before.signs != after.signs).sum())
        assert np.array_equal(before.mask, after.mask)
    assert 0.001 < flipped / kept < 0.5
    facts = found.stages[TUNED][0].facts
    assert (facts["signs"], facts["signs_flipped"]) == (kept, flipped)
    stated = by_stage[TUNED].metadata
    assert (stated["signs"], stated["signs_flipped"]) == (kept, flipped)
    assert "signs" not in found.stages[CONTROL][0].facts
    row = next(row for row in found.to_dict()["stages"] if row["stage"] == TUNED)
    assert (row["signs"], row["signs_flipped"]) == (kept, flipped)
    print_find(found.to_dict())
    assert f"{flipped:,} of {kept:,}" in capsys.readouterr().out


def test_the_control_moves_all_but_the_tickets_weights(tmp_path, capsys):
    made = recipe(ticket={"fine_tune_bn_affine": True})
    found = find(made, runs_dir=tmp_path, threads=1)
    by_stage = tickets(found.folder)
    for before, after in zip(by_stage["ticket"].layers, by_stage[CONTROL].layers, strict=True):
        assert np.array_equal(before.weight(), after.weight())
    scale = by_stage[CONTROL].tensors["features.0.norm.weight"]
    assert not np.allclose(scale, 1)
    assert found.stages[CONTROL][0].facts["bn_affine"]
    assert not found.stages["ticket"][0].facts["bn_affine"]
    assert found.stages[CONTROL][0].facts["trained_epochs"] == 2
    verdict = json.loads(json.dumps(found.verdict))
    rows = verdict["fine_tuning"]
    tuned, control = (found.stages[n][0].test_accuracy for n in (TUNED, CONTROL))
    assert rows[CONTROL]["difference"] == pytest.approx(tuned - control)
    assert "against training only the rest" in verdict["sentences"][-1]
    # fine-tuning decides nothing about the ticket
    assert verdict["outcome"] == "too_small"
    assert verdict["sentences"][0].startswith("Budget too small to say: ")
    print_find(found.to_dict())
    assert "fine-tuned - ticket finetune control" in capsys.readouterr().out


def test_a_ticket_is_shared_by_runs_that_fine_tune_it_differently():
    versions = {"spiketicket": "1"}
    one, other = (
        stage_keys(
            recipe(ticket={"fine_tune_epochs": n, "fine_tune_bn_affine": True}), 0, "cpu", versions
        )
        for n in (1, 2)
    )
    assert {name for name in one if one[name] == other[name]} == {
        "ticket",
        "dense",
        "random_trained",
        "random_frozen",
    }
    float_bn = stage_keys(recipe(), 0, "cpu", versions)
    assert float_bn[TUNED] != other[TUNED]
    assert stage_of(recipe(), TUNED).epochs(recipe()) == 2


def test_a_killed_fine_tuning_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    made = recipe(ticket={"fine_tune_bn_affine": True}, train={"checkpoint_steps": 1})
    whole = find(made, runs_dir=tmp_path / "whole", threads=1)

    class Stop(Exception):
        pass

    from spiketicket.training import loop

    save, saves = loop.checkpoint.save, []

    def stop(path, *args, **kwargs):
        save(path, *args, **kwargs)
        if TUNED in str(path):
            saves.append(path)
            if len(saves) == 3:
                raise Stop

    monkeypatch.setattr(loop.checkpoint, "save", stop)
    with pytest.raises(Stop):
        find(made, runs_dir=tmp_path / "cut", threads=1)
    monkeypatch.undo()
    again = find(made, runs_dir=tmp_path / "cut", threads=1)
    for name in (TUNED, CONTROL):
        paths = [f.folder / f"seed-0/{name}/model.ticket" for f in (whole, again)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
