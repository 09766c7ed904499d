"""Controls: what each keeps of the ticket, who can have which, and that a run goes on."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command import spiketicket
from one_stage import names_of, stage_of
from recipes import varied
from safetensors.numpy import load_file

from spiketicket.errors import UserError
from spiketicket.experiment.find import find
from spiketicket.experiment.keys import stage_inputs
from spiketicket.experiment.measure import measure_run
from spiketicket.methods.controls.choice import choose
from spiketicket.methods.stages import condition
from spiketicket.models.of_ticket import from_ticket
from spiketicket.recipe import ControlsConfig, registry, to_toml
from spiketicket.ticket import Ticket

BASE = {
    "name": "small",
    "data": {"name": "digits", "train_limit": 200},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 2, "weights": "binary"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 40, "kernel": "eager"},
}
LADDER = {
    **BASE,
    "model": {"name": "spikformer", "dim": 16, "depth": 1, "heads": 2, "pools": 1, "timesteps": 2},
    "ticket": {"name": "multisp", "density": 0.3, "patch_controls": []},
}
NEW = ("flipped", "inverted", "shuffled")
TWIN = "quantised_ann"
USUAL = ("dense", "random_trained", "random_frozen")


def everything(base=BASE, **sections):
    return choose(varied(base, **sections), "all").recipe


def test_the_new_controls_are_off_and_leave_old_hashes():
    assert registry.controls()[:3] == USUAL
    assert {*NEW} <= {*registry.controls()}
    assert not any(getattr(ControlsConfig(), name) for name in NEW)
    recipe = varied(BASE)
    # of version 0.3, before there were more controls
    assert varied(BASE, controls=dict.fromkeys(NEW, False)).hash == recipe.hash
    assert varied(BASE, controls={"shuffled": True}).hash != recipe.hash
    assert names_of(recipe) == ("ticket", *USUAL)


def test_controls_by_name():
    recipe = varied(BASE)
    assert names_of(choose(recipe, "none").recipe) == ("ticket",)
    assert names_of(choose(recipe, "shuffled, dense").recipe) == ("ticket", "dense", "shuffled")
    assert choose(varied(BASE, controls={"shuffled": True}), "default").recipe == recipe
    assert {*NEW} <= {*names_of(choose(recipe, "all").recipe)}
    with pytest.raises(UserError, match="Did you mean shuffled"):
        choose(recipe, "shufled")
    with pytest.raises(UserError, match="given twice"):
        choose(recipe, "dense,dense")
    for text in ("all,dense", "dense, none"):
        with pytest.raises(UserError, match="stands alone, not among names"):
            choose(recipe, text)
    with pytest.raises(UserError, match="no such control"):
        choose(recipe, "")
    assert choose(recipe, " none").recipe == choose(recipe, "none").recipe


@pytest.mark.parametrize("method", ["random_mask", "gradual"])
def test_a_method_without_scores_refuses_to_invert_them(method):
    recipe = varied(BASE, ticket={"name": method, "density": 0.3})
    chosen = choose(recipe, "all")
    assert chosen.left_out == {"inverted": f"{method} keeps no scores to invert"}
    assert TWIN in names_of(chosen.recipe)
    assert "inverted" not in names_of(chosen.recipe)
    with pytest.raises(UserError, match=f"{method} keeps no scores"):
        choose(recipe, "inverted")
    asked = varied(BASE, ticket={"name": method, "density": 0.3}, controls={"inverted": True})
    with pytest.raises(UserError, match=r"controls.inverted: .*controls='all'"):
        names_of(asked)


def test_a_ladder_of_patches_alone_has_no_mask_to_change():
    recipe = varied(LADDER, ticket={"rungs": ["patch"]})
    assert set(NEW) <= set(choose(recipe, "all").left_out)
    with pytest.raises(UserError, match="no rung with a mask"):
        names_of(varied(LADDER, ticket={"rungs": ["patch"]}, controls={"flipped": True}))


def test_scores_are_part_of_the_ticket_only_where_a_control_reads_them():
    assert not stage_of(varied(BASE), "ticket").keeps_scores
    assert not stage_of(varied(BASE, controls={"shuffled": True}), "ticket").keeps_scores
    assert stage_of(varied(BASE, controls={"inverted": True}), "ticket").keeps_scores


def tickets(folder):
    place = folder / "seed-0"
    return {p.parent.name: Ticket.load(p) for p in place.glob("*/model.ticket")}


def masks(ticket, prefix=""):
    return {x.name: x.mask for x in ticket.layers if x.name.startswith(prefix)}


def weights(ticket):
    state = ticket.state()
    return {x.name: state[f"{x.name}.weight"] for x in ticket.layers}


@pytest.fixture(
    scope="module",
    params=["edge_popup", "signed_supermask", "imp", "magnitude", "snip", "synflow"],
)
def run(request, tmp_path_factory):
    recipe = everything(ticket={"name": request.param, "density": 0.3})
    folder = tmp_path_factory.mktemp(request.param)
    return recipe, find(recipe, runs_dir=folder, threads=1)


@pytest.mark.slow
def test_every_control_is_what_it_says(run):
    recipe, found = run
    nets = tickets(found.folder)
    ticket = nets["ticket"]
    frozen = recipe.ticket.trains == "scores"
    scores = load_file(found.folder / "seed-0" / "ticket" / "scores.safetensors")
    flips = []
    for name, mask in masks(ticket).items():
        rows = mask.reshape(len(mask), -1)
        shuffled = masks(nets["shuffled"])[name].reshape(rows.shape)
        assert (shuffled.sum(1) == rows.sum(1)).all()
        assert (shuffled != rows).any()
        inverted = masks(nets["inverted"])[name]
        assert inverted.sum() == mask.sum()
        if 2 * mask.sum() <= mask.size:
            assert not (inverted & mask).any()
            rest = np.abs(scores[name])[~mask & ~inverted]
            assert np.abs(scores[name])[inverted].max() <= rest.min()
        flipped, own = weights(nets["flipped"])[name], weights(ticket)[name]
        assert (np.abs(flipped) == np.abs(own)).all()
        flips.append((flipped[mask] != own[mask]).ravel())
    share = np.concatenate(flips).mean()
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(sum(map(len, flips)))
    results = {
        name: json.loads((found.folder / "seed-0" / name / "result.json").read_text())
        for name in nets
    }
    assert results["flipped"]["trained_epochs"] == 0
    assert (results["inverted"]["trained_epochs"] == 0) == frozen
    assert results["shuffled"]["trained_epochs"] == 2


@pytest.mark.slow
def test_frozen_inverted_weights_are_those_the_search_drew(run):
    recipe, found = run
    if recipe.ticket.trains == "weights":
        pytest.skip("its weights are trained")
    nets = tickets(found.folder)
    scores = load_file(found.folder / "seed-0" / "ticket" / "scores.safetensors")
    for name, inverted in weights(nets["inverted"]).items():
        other = weights(nets["random_frozen"])[name]
        both = (inverted != 0) & (other != 0)
        assert both.any()
        signs = np.where(scores[name] < 0, -1, 1) if recipe.ticket.signs_searched else 1
        assert (np.sign(inverted) == np.sign(other) * signs)[both].all()


@pytest.mark.slow
def test_keeping_scores_changes_no_byte_of_the_net(run, tmp_path):
    recipe, found = run
    plain = find(
        varied(BASE, ticket={"name": recipe.ticket.name, "density": 0.3}),
        runs_dir=tmp_path,
        threads=1,
    )
    one, other = tickets(found.folder)["ticket"], tickets(plain.folder)["ticket"]
    for a, b in zip(one.layers, other.layers, strict=True):
        assert np.array_equal(a.mask, b.mask)
    assert all(np.array_equal(one.state()[k], other.state()[k]) for k in other.state())
    assert not list(plain.folder.glob("seed-0/*/scores.safetensors"))


@pytest.mark.slow
def test_a_control_done_again_is_the_same_to_the_byte(run, tmp_path):
    recipe, found = run
    runs = tmp_path / "runs"
    shutil.copytree(found.folder, runs / found.folder.name)
    place = runs / found.folder.name / "seed-0"
    before = {name: (place / name / "model.ticket").read_bytes() for name in NEW}
    for name in NEW:
        shutil.rmtree(place / name)
    find(recipe, runs_dir=runs, threads=1)
    assert before == {name: (place / name / "model.ticket").read_bytes() for name in NEW}


@pytest.mark.slow
def test_lost_or_foreign_scores_are_named(run, tmp_path):
    recipe, found = run
    runs = tmp_path / "runs"
    shutil.copytree(found.folder, runs / found.folder.name)
    place = runs / found.folder.name / "seed-0"
    shutil.rmtree(place / "inverted")
    scores = place / "ticket" / "scores.safetensors"
    scores.write_bytes(b"no scores")
    with pytest.raises(UserError, match=r"scores.safetensors: is damaged"):
        find(recipe, runs_dir=runs, threads=1)
    scores.unlink()
    with pytest.raises(UserError, match=r"has lost its scores.safetensors"):
        find(recipe, runs_dir=runs, threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("search", ["joint", "two_stage"])
def test_every_conv_pep_rung_has_them(tmp_path, search):
    recipe = everything(LADDER, ticket={"search": search})
    nets = tickets(find(recipe, runs_dir=tmp_path, threads=1).folder)
    inside = "conv_pep."
    for rung in ("pepsp", "multisp"):
        flips = []
        for name, mask in masks(nets[rung], inside).items():
            rows = mask.reshape(len(mask), -1)
            shuffled = masks(nets[f"{rung}_shuffled"], inside)[name].reshape(rows.shape)
            assert (shuffled.sum(1) == rows.sum(1)).all()
            assert not (masks(nets[f"{rung}_inverted"], inside)[name] & mask).any()
            own, flipped = weights(nets[rung])[name], weights(nets[f"{rung}_flipped"])[name]
            assert (np.abs(flipped) == np.abs(own)).all()
            flips.append((flipped[mask] != own[mask]).ravel())
        share = np.concatenate(flips).mean()
        assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(sum(map(len, flips)))


@pytest.mark.slow
def test_the_command_says_which_of_all_it_leaves_out(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = varied(BASE, ticket={"name": "random_mask", "density": 0.3}, train={"epochs": 1})
    (tmp_path / "r.toml").write_text(to_toml(recipe))
    done = spiketicket("find", "r.toml", "--controls", "all", "--no-report", "--threads", "1")
    assert "control inverted is left out: random_mask keeps no scores to invert" in done.stderr


@pytest.mark.parametrize(
    ("timesteps", "expected"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (64, 7)]
)
def test_the_twin_has_as_many_bits_as_spikes_over_time(timesteps, expected):
    assert expected == math.ceil(math.log2(timesteps + 1))
    recipe = everything(model={"timesteps": timesteps}, train={"timestep_ramp": [[1, 1]]})
    twin = stage_of(recipe, TWIN)
    assert twin.role == "twin"
    assert twin.neurons(recipe).bits == expected
    # a picture is seen once
    assert twin.network(recipe).timesteps == 1
    assert twin.schedule(recipe).timestep_ramp == ()
    assert twin.epochs(recipe) == recipe.train.epochs
    assert condition(recipe, twin) == f"ANN with {expected} bit activations and binary weights"


def test_the_twin_sees_every_frame_of_a_recording():
    recipe = everything(data={"name": "digits_events", "train_limit": None}, model={"timesteps": 4})
    assert stage_of(recipe, TWIN).network(recipe).timesteps == 4


def test_the_twins_key_is_of_its_own_neuron():
    inputs = stage_inputs(everything(), 0)
    assert inputs[TWIN].values["neuron"] == {"name": "quantised", "bits": 2, "clip": 2.0}
    assert inputs["dense"].values["neuron"]["name"] == "lif"
    other = stage_inputs(everything(neuron={"decay": 0.25}), 0)
    assert other[TWIN].values == inputs[TWIN].values
    assert other["dense"].values != inputs["dense"].values


@pytest.mark.parametrize(
    ("base", "change", "why"),
    [
        (BASE, {"neuron": {"name": "relu"}}, "relu, do not spike"),
        (LADDER, {"ticket": {"name": "edge_popup"}}, "attention multiplies"),
        (LADDER, {}, "no such control"),
    ],
)
def test_who_has_no_twin(base, change, why):
    if change.get("ticket"):
        change = {"model": LADDER["model"]}
        base = BASE
    assert why in choose(varied(base, **change), "all").left_out[TWIN]
    with pytest.raises(UserError, match=why):
        choose(varied(base, **change), TWIN)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["binary", "float"])
def test_the_twin_is_measured_beside_the_ticket(tmp_path, weights):
    recipe = choose(varied(BASE, model={"weights": weights, "timesteps": 4}), TWIN).recipe
    found = find(recipe, runs_dir=tmp_path, threads=1)
    assert {row["stage"] for row in found.to_dict()["stages"]} == {"ticket", TWIN}
    ticket = Ticket.load(found.folder / "seed-0" / TWIN / "model.ticket")
    assert ticket.metadata["network"]["args"]["neuron"]["bits"] == 3
    assert all(layer.mask.all() for layer in ticket.layers)
    assert not measure_run(found.folder, images=50).failed
    measured = json.loads((found.folder / "seed-0" / TWIN / "measure.json").read_text())
    first, *rest = measured["layers"]
    assert first["input"] == "analog"
    # three bits: a level is added at once in a layer of signs, and multiplied by a float
    binary = weights == "binary"
    assert {layer["input"] for layer in rest} == {"levels" if binary else "analog"}
    for layer in rest:
        assert (layer["acs"] > 0) == binary
        assert (layer["macs"] == 0) == binary
        assert layer["ac_units"] == layer["acs"]
        assert 0 < layer["acs"] + layer["macs"] < layer["dense"]
    net = from_ticket(ticket, "eager")
    images = 4 * torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        levels = net.features[0](images.unsqueeze(0), 1).unique()
    assert levels.tolist() == [float(n) for n in range(8)]
