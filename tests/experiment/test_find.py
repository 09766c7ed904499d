"""A run folder from end to end: stages, exactness of the saved ticket, claims, bad places."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from one_stage import prepared
from recipes import varied

import spiketicket
from spiketicket.errors import UserError
from spiketicket.experiment import conclude, train
from spiketicket.experiment.answers import read_answers
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.find import find, train_dense
from spiketicket.experiment.record import add_record, check_record
from spiketicket.experiment.results import write_result
from spiketicket.experiment.setup import Context, prepare_experiment
from spiketicket.machine import files, processor
from spiketicket.machine.claims import claimed
from spiketicket.models.of_ticket import from_ticket, load_into, to_ticket
from spiketicket.progress import NullReporter
from spiketicket.recipe import parse_recipe
from spiketicket.ticket import Ticket, TicketError

BASE = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 300},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 2},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 64, "tune": "off"},
}


def recipe(**sections):
    return varied(BASE, **sections)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return find(recipe(), seeds=2, runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.mark.slow
def test_every_stage_is_there_with_its_own_facts(found):
    result = json.loads(json.dumps(found.to_dict()))
    stages = {row["stage"]: row for row in result["stages"]}
    assert list(stages) == ["ticket", "dense", "random_trained", "random_frozen"]
    assert stages["dense"]["density"] == 1
    for name in ("ticket", "random_trained", "random_frozen"):
        assert stages[name]["density"] == pytest.approx(0.3, abs=1e-3)
        assert stages[name]["kept"] == stages["ticket"]["kept"]
    assert all(len(row["test_accuracy"]) == 2 for row in stages.values())
    assert stages["random_frozen"]["trained_epochs"] == 0
    assert max(stages["random_frozen"]["test_accuracy"]) < 35
    assert result["condition"] == "BinW-SNN"
    # two epochs are never enough
    assert result["verdict"]["outcome"] == "too_small"
    assert set(result["verdict"]["budget"]) == {"dense", "random_trained"}
    assert all(row["rises"] for row in result["verdict"]["budget"].values())
    assert [Path(t).name for t in result["tickets"]] == [
        "tiny-seed0.ticket",
        "tiny-seed1.ticket",
    ]


def test_the_run_knows_the_labels_of_its_answers(found):
    answers = read_answers(found.folder / "answers.npz")
    (first, *_) = found.ticket_stage
    right = first.predictions == answers.labels
    assert 100 * right.mean() == pytest.approx(first.test_accuracy)
    assert answers.wrong == tuple(np.flatnonzero(~right)[:16].tolist())
    assert [int(answers.labels[i]) for i in answers.examples] == list(range(10))


def test_random_masks_have_the_tickets_count_in_every_layer(found):
    folder = found.folder / "seed-0"
    counts = [
        [layer.kept for layer in Ticket.load(folder / stage / "model.ticket").layers]
        for stage in ("ticket", "random_trained", "random_frozen")
    ]
    assert counts[0] == counts[1] == counts[2]
    masks = [
        Ticket.load(folder / stage / "model.ticket").layers[1].mask
        for stage in ("ticket", "random_trained", "random_frozen")
    ]
    assert np.array_equal(masks[1], masks[2])
    assert not np.array_equal(masks[0], masks[1])


def test_the_frozen_control_and_the_ticket_share_their_random_weights(found):
    folder = found.folder / "seed-0"
    ticket, frozen = (
        Ticket.load(folder / stage / "model.ticket") for stage in ("ticket", "random_frozen")
    )
    for a, b in zip(ticket.layers, frozen.layers, strict=True):
        both = a.mask & b.mask
        assert both.any()
        assert np.array_equal(a.signs[both], b.signs[both])


def test_a_finished_run_is_read_not_repeated(found, monkeypatch):
    monkeypatch.setattr(train, "fit", lambda *a: pytest.fail("trained again"))
    again = find(recipe(), seeds=2, runs_dir=found.folder.parent)
    assert again.to_dict() == found.to_dict()
    before = {p: p.stat().st_mtime_ns for p in found.folder.rglob("*")}
    find(recipe(), seeds=2, runs_dir=found.folder.parent)
    assert {p: p.stat().st_mtime_ns for p in found.folder.rglob("*")} == before


def test_evaluating_the_file_gives_the_stated_accuracy(found):
    for path in found.tickets:
        result = evaluate_ticket(path)
        assert result.test_accuracy == result.stated_accuracy
        assert result.test_count == 360


def test_the_ticket_file_says_where_it_comes_from(found):
    meta = spiketicket.read_metadata(found.tickets[0])
    assert meta["recipe_hash"] == found.recipe.hash
    assert meta["seed"] == 0
    assert meta["verdict"]["outcome"] == found.verdict["outcome"]
    assert meta["condition"] == "BinW-SNN"
    assert "root" not in meta["recipe"]["data"]


@pytest.mark.parametrize("weights", ["binary", "float"])
@pytest.mark.parametrize("neuron", ["lif", "relu", "sign", "step"])
def test_the_loaded_model_has_exactly_the_searched_models_logits(tmp_path, weights, neuron):
    from spiketicket.models.blocks import DataShape

    made = recipe(model={"weights": weights}, neuron={"name": neuron})
    shape = DataShape(channels=1, height=8, width=8, classes=10)
    stage = prepared(made, "ticket", shape, tmp_path, seed=3)
    x = torch.randn(32, 1, 8, 8)
    model = stage.trainee.model.train()
    with torch.no_grad():
        for _ in range(5):
            model(x)
    model.eval()
    network = {
        "model": made.model.model_dump(),
        "neuron": made.neuron.model_dump(),
        "shape": shape.__dict__,
    }
    to_ticket(model, {"network": {"name": "convnet", "args": network}}).save(tmp_path / "t")
    plain = from_ticket(Ticket.load(tmp_path / "t"))
    assert not any("parametrizations" in key for key in plain.state_dict())
    with torch.no_grad():
        assert torch.equal(model(x), plain(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnet", "vgg9", "resconv6", "resnet19"])
def test_every_network_is_a_function_of_the_seed(name, tmp_path):
    from spiketicket.models.blocks import DataShape

    made = recipe(model={"name": name, "bn_affine": True}, ticket={"scale_fan": True})

    def states(stage):
        found = []
        for _ in range(2):
            torch.rand(1)
            shape = DataShape(channels=1, height=16, width=16, classes=10)
            found.append(prepared(made, stage, shape, tmp_path, seed=3).trainee)
        first, second = (trainee.model.state_dict() for trainee in found)
        assert all(torch.equal(first[key], second[key]) for key in first)
        return found[0], first

    trainee, ticket = states("ticket")
    layers = [k.rsplit(".parametrizations", 1)[0] for k in ticket if k.endswith(".scores")]
    kept = {k: int(ticket[f"{k}.parametrizations.weight.0.mask"].sum()) for k in layers}
    (tmp_path / "ticket").mkdir()
    write_result(tmp_path / "ticket" / "result.json", {"kept_by_layer": kept})
    _, frozen = states("random_frozen")
    states("dense")
    for layer in layers:
        key = f"{layer}.parametrizations.weight.original"
        assert torch.equal(ticket[key], frozen[key])
    # every scale and shift of BatchNorm is searched along
    norms = [m for m in trainee.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    trained = {id(p) for p in trainee.parameters}
    assert all(id(p) in trained for m in norms for p in m.parameters())


def test_the_best_epoch_is_one_with_the_density_and_the_timesteps_asked_for(tmp_path):
    made = recipe(
        ticket={"scope": "global", "density": 0.2, "ramp_epochs": 2},
        train={"epochs": 4, "timestep_ramp": [[3, 1]]},
        controls={"dense": False, "random_trained": False},
    )
    result = find(made, runs_dir=tmp_path).stages["ticket"][0]
    assert result.facts["best_epoch"] == 3
    assert result.facts["density"] == pytest.approx(0.2, abs=1e-4)


def saved_and_tested(ticket, path):
    ticket.save(path)
    evaluate_ticket(path)


@pytest.mark.parametrize("key", ["normalisation", "eval_batch_size", "data", "accuracy"])
def test_a_ticket_that_does_not_say_how_to_test_it_is_refused(found, tmp_path, key):
    ticket = Ticket.load(found.tickets[0])
    meta = {k: v for k, v in ticket.metadata.items() if k != "format_version"}
    for value in (None, {}, "x", 0, {"config": {"name": "digits", "extra": 1}}):
        changed = Ticket(ticket.layers, ticket.tensors, {**meta, key: value})
        # What has another type is not written at all, and refused where a file has it.
        with pytest.raises(UserError, match=rf"does not say how|is not the data|{key}.*: must"):
            saved_and_tested(changed, tmp_path / "t")


@pytest.mark.parametrize("file", ["result.json", "timing.json"])
def test_damaged_files_of_a_run_are_named(found, tmp_path, file):
    runs = tmp_path / "runs"
    shutil.copytree(found.folder.parent, runs)
    (runs / found.folder.name / "seed-0" / "dense" / file).write_text("{}")
    with pytest.raises(UserError, match=r"is damaged: .*Delete"):
        find(recipe(), seeds=2, runs_dir=runs)


@pytest.mark.parametrize("place", ["result.json", "seed-0/dense/result.json"])
def test_a_result_that_was_edited_is_not_believed(found, tmp_path, place):
    runs = tmp_path / "runs"
    shutil.copytree(found.folder.parent, runs)
    path = runs / found.folder.name / place
    stored = json.loads(path.read_text())
    assert len(stored["digest"]) == 64
    path.write_text(json.dumps({**stored, "condition": "better"}))
    with pytest.raises(UserError, match=r"result\.json: is damaged: .*digest.*Delete"):
        find(recipe(), seeds=2, runs_dir=runs)
    path.write_text(json.dumps({k: v for k, v in stored.items() if k != "digest"}))
    assert find(recipe(), seeds=2, runs_dir=runs).verdict == found.verdict


def test_a_dense_net_trained_alone_can_be_recorded(found):
    alone = train_dense(found.recipe, runs_dir=found.folder.parent)
    line = json.loads(json.dumps(conclude.stage_record(found.recipe, alone)))
    (row,) = line["stages"]
    assert row["test_accuracy"] == [found.stages["dense"][0].test_accuracy]
    assert (line["hash"], line["seeds"], line["threads"]) == (
        found.recipe.hash,
        [0],
        found.to_dict()["threads"],
    )
    assert parse_recipe(line["recipe"]).hash == found.recipe.hash


def test_records_replace_the_same_recipes_and_keep_the_others(found, tmp_path):
    path = tmp_path / "results" / "find.jsonl"
    add_record(path, found.record())
    other = {**json.loads(path.read_text()), "hash": "other"}
    path.write_text(json.dumps(other) + "\n")
    add_record(path, found.record())
    here = found.record()
    here["recipe"]["data"]["root"] = "/somewhere"
    add_record(path, here)
    assert "/somewhere" not in path.read_text()
    assert [json.loads(x)["hash"] for x in path.read_text().splitlines()] == [
        "other",
        found.recipe.hash,
    ]
    path.write_text("not results\n")
    with pytest.raises(UserError, match="not a file of results"):
        check_record(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({"model": {"weights": "float"}, "neuron": {"name": "relu"}}, "ANN"),
        ({"neuron": {"name": "relu"}}, "BNN"),
        ({"neuron": {"name": "sign"}}, "BinAct-BNN"),
        ({"model": {"weights": "float"}}, "SNN"),
    ],
)
def test_the_other_conditions_run(tmp_path, sections, name):
    result = find(recipe(**sections, train={"epochs": 1}), runs_dir=tmp_path).to_dict()
    assert result["condition"] == name
    assert max(result["stages"][0]["test_accuracy"]) > 5


def test_affine_batchnorm_is_trained_and_named(tmp_path):
    made = recipe(model={"bn_affine": True}, controls={"dense": False, "random_trained": False})
    result = find(made, runs_dir=tmp_path)
    row = result.to_dict()["stages"][0]
    assert row["bn_affine"] is True
    tensors = Ticket.load(result.tickets[0]).tensors
    assert not np.all(tensors["features.0.norm.weight"] == 1)
    assert row["parameters"] > row["kept"] > 0.3 * row["parameters"]
    assert result.verdict["outcome"] == "unproven"


def test_dense_training_alone_is_the_dense_stage_of_find(tmp_path, found):
    alone = train_dense(recipe(), runs_dir=tmp_path)
    assert alone.test_accuracy == found.stages["dense"][0].test_accuracy


def test_a_ticket_for_another_network_names_what_differs(found):
    ticket = Ticket.load(found.tickets[0])
    other = torch.nn.Sequential(torch.nn.Linear(4, 4))
    with pytest.raises(TicketError, match=r"another network: \d+ entries differ"):
        load_into(other, ticket)
    meta = json.loads(json.dumps(dict(ticket.metadata)))
    meta.pop("format_version")
    meta["network"]["args"]["model"]["width"] = 64.0
    meta["network"]["args"]["shape"]["height"] = 2**19
    with pytest.raises(TicketError, match="do not fit the network"):
        from_ticket(Ticket(ticket.layers, ticket.tensors, meta))
    meta["network"]["args"]["model"]["width"] = "wide"
    with pytest.raises(TicketError, match=r"network\.args\.model\.width: must be a number"):
        from_ticket(Ticket(ticket.layers, ticket.tensors, meta))
    meta["network"] = {"name": "os"}
    with pytest.raises(UserError):
        from_ticket(Ticket(ticket.layers, ticket.tensors, meta))


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_processes_never_share_a_run_folder(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom spiketicket.machine.claims import claimed\n"
        "from spiketicket.errors import UserError\n"
        "try:\n    with claimed(Path(sys.argv[1])): print('got it')\n"
        "except UserError as e: print(e)\n"
    )

    def other():
        command = [sys.executable, "-c", code, str(tmp_path / "run")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with claimed(tmp_path / "run"):
        assert f"in use by process {os.getpid()}" in other()
    assert other() == "got it\n"


def test_what_a_killed_writer_left_is_gone_when_the_run_goes_on(tmp_path):
    stage = tmp_path / "run" / "seed-0" / "ticket"
    stage.mkdir(parents=True)
    killed = (
        "import os, sys\nfrom pathlib import Path\nfrom spiketicket.machine import files\n"
        "files.os.fsync = lambda _: os._exit(9)\n"
        "files.write_bytes(Path(sys.argv[1]), b'half')\n"
    )
    left = subprocess.run([sys.executable, "-c", killed, str(stage / "checkpoint.pt")], check=False)
    assert left.returncode == 9
    assert len(list(stage.iterdir())) == 1
    (stage / "mine.tmp").touch()
    with claimed(tmp_path / "run"):
        assert [p.name for p in stage.iterdir()] == ["mine.tmp"]


def test_other_data_in_the_same_folder_is_refused(found, tmp_path):
    place = found.folder / "data.json"
    before = place.read_bytes()
    place.write_text('{"name": "digits", "checksum": "0123"}')
    try:
        with pytest.raises(UserError, match=r"other digits data.*checksum 0123"):
            find(recipe(), runs_dir=found.folder.parent)
    finally:
        place.write_bytes(before)


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match=r"cannot be written.*`runs_dir`"):
        find(recipe(), runs_dir=blocked)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_leaves_no_half_file(tmp_path, monkeypatch, code):
    target = tmp_path / "result.json"
    files.write_json(target, {"whole": 1})

    def refuse(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(UserError, match=r"disk is full|cannot be written"):
        files.write_json(target, {"half": 1})
    assert json.loads(target.read_text()) == {"whole": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.slow
@pytest.mark.skipif("SPIKETICKET_DATA" not in os.environ, reason="SPIKETICKET_DATA is not set")
def test_the_real_cifar10_goes_through(tmp_path):
    made = parse_recipe(
        {
            "name": "cifar-smoke",
            "data": {"name": "cifar10", "train_limit": 512, "validation": 0.01, "flip": True},
            "model": {"name": "vgg9", "width": 0.25, "timesteps": 2},
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 1, "batch_size": 64, "tune": "off", "precision": "bf16"},
            "controls": {"dense": False, "random_trained": False},
        }
    )
    result = find(made, runs_dir=tmp_path)
    root = os.environ["SPIKETICKET_DATA"]
    assert evaluate_ticket(result.tickets[0], root=root).test_count == 10_000


@pytest.mark.parametrize(("flags", "told"), [("avx2 fma", 1), ("avx512_bf16", 0), ("", 0)])
def test_emulated_bfloat16_is_told(flags, told, monkeypatch):
    class Listener(NullReporter):
        said: ClassVar[list[str]] = []

        def message(self, text):
            self.said.append(text)

    monkeypatch.setattr(processor, "features", lambda: flags)
    prepare_experiment(recipe(train={"precision": "bf16"}), Context(reporter=Listener()))
    assert len([m for m in Listener.said if "emulates bfloat16" in m]) == told
