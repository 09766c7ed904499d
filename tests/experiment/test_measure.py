"""Measuring tickets and runs: the files of a run, what is skipped, what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from spiketicket.data import load_dataset, make_config
from spiketicket.data.of_ticket import find_test_data
from spiketicket.errors import UserError
from spiketicket.experiment import measure
from spiketicket.experiment.find import find
from spiketicket.experiment.measure import measure_run, measure_ticket
from spiketicket.machine.claims import claimed
from spiketicket.machine.files import read_json
from spiketicket.measure import energy, samples
from spiketicket.models.of_ticket import from_ticket
from spiketicket.progress import NullReporter
from spiketicket.recipe import parse_recipe
from spiketicket.ticket import Ticket, TicketError

pytestmark = pytest.mark.slow


CNN = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 200},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 2},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 1, "batch_size": 64, "tune": "off"},
}
LADDER = {
    **CNN,
    "name": "rungs",
    "model": {"name": "spikformer", "timesteps": 2, "dim": 16, "depth": 1, "heads": 2, "pools": 1},
    "ticket": {
        "name": "multisp",
        "ranker": "selector",
        "density": 0.5,
        "keep": 0.5,
        "rungs": ["patch"],
        "patch_controls": [],
        "score": "firing_rate",
    },
    "controls": {"random_trained": False, "random_frozen": False},
}


class Messages(NullReporter):
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return find(parse_recipe(CNN), seeds=2, runs_dir=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def ticket_of(run, stage="ticket", seed=0):
    return run / f"seed-{seed}" / stage / "model.ticket"


def new(found):
    return sum(stage.new for stage in found.stages)


def test_every_stage_gets_its_file_with_numbers_a_plain_loop_finds(run):
    found = measure_run(run)
    assert [(s.seed, s.stage) for s in found.stages] == [
        (seed, stage)
        for seed in (0, 1)
        for stage in ("ticket", "dense", "random_trained", "random_frozen")
    ]
    assert (new(found), found.missing) == (8, ())
    data = load_dataset(make_config("digits"))
    for stage in found.stages:
        assert read_json(stage.folder / "measure.json") == json.loads(json.dumps(stage.measured))
        predicted = np.load(stage.folder / "predictions.npy")[:256]
        assert stage.measured["accuracy"] == 100 * (predicted == data.test.y[:256]).mean()
        for row in stage.measured["layers"]:
            ticket = Ticket.load(stage.folder / "model.ticket")
            layer = next(part for part in ticket.layers if part.name == row["name"])
            assert (row["kept"], row["weights"]) == (layer.kept, layer.size)
            assert row["shape"] == list(layer.shape)
            assert row["nonzero"] == np.count_nonzero(layer.weight())
    first = found.stages[0].measured
    assert first["set"] == {
        "name": "digits",
        "part": "test",
        "checksum": data.checksum,
        "images": 256,
        "of": 360,
    }
    assert (first["timesteps"], first["static"], first["format"]) == (2, True, 3)
    assert [e["table"] for e in first["energy"]] == list(energy.TABLES)
    assert first["sparsity"]["file_bytes"] == ticket_of(run).stat().st_size
    assert set(first["total"]) == {"dense", "macs", "acs", "ac_units", "updates"}
    for key, value in first["total"].items():
        assert value == pytest.approx(sum(group[key] for group in first["groups"].values()))
        if key != "updates":
            assert value == pytest.approx(sum(row[key] for row in first["layers"]))
    assert first["total"]["updates"] == sum(n["updates"] for n in first["neurons"])
    assert ticket_of(run).parent.as_posix() not in json.dumps(first)


def test_the_same_ticket_gives_the_same_bytes(run, tmp_path):
    measure_run(run)
    other = shutil.copytree(run, tmp_path / "other")
    for path in other.rglob("measure.json"):
        path.unlink()
    measure_run(other)
    files = sorted(
        p.relative_to(run) for p in run.rglob("*") if p.name in ("measure.json", "sample.npz")
    )
    assert len(files) == 10
    for path in files:
        assert (run / path).read_bytes() == (other / path).read_bytes(), path


def test_what_is_measured_is_read_and_what_changed_is_measured_again(run, monkeypatch):
    measure_run(run)
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(measure, "measure_net", lambda *a: pytest.fail("measured again"))
        again = measure_run(run)
    assert new(again) == 0
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before
    assert new(measure_run(run, images=20)) == 8
    assert new(measure_run(run, images=20)) == 0
    shutil.copy(ticket_of(run, "dense"), ticket_of(run))
    assert new(measure_run(run, images=20)) == 1
    (ticket_of(run).parent / "measure.json").write_text("{")
    (ticket_of(run, "dense").parent / "measure.json").write_text('{"format": 1}')
    assert new(measure_run(run, images=20)) == 2
    assert new(measure_run(run, images=20, sample=3)) == 2
    (ticket_of(run).parent / "sample.npz").write_bytes(b"PK")
    assert new(measure_run(run, images=20, sample=3)) == 1


def test_damaged_files_are_made_anew(run):
    measure_run(run, images=20)
    sample, own = (ticket_of(run).parent / name for name in ("sample.npz", "measure.json"))
    # an archive whose end is missing, and one whose content is not what it says
    whole = sample.read_bytes()
    for damaged in (whole[:3000], whole[:200] + bytes(200) + whole[400:]):
        sample.write_bytes(damaged)
        assert new(measure_run(run, images=20)) == 1
        assert sample.read_bytes() == whole
    found = json.loads(own.read_text())
    for wrong in ({"set": None}, {"set": {"images": 20}}, {"layers": None}, {"total": []}):
        own.write_text(json.dumps({**found, **wrong}))
        assert new(measure_run(run, images=20)) == 1
        assert json.loads(own.read_text()) == found


def test_samples_are_of_the_dense_net_and_the_ticket_of_the_first_seed(run):
    measure_run(run, sample=9)
    stages = {p.parent.relative_to(run).as_posix() for p in run.rglob("sample.npz")}
    assert stages == {"seed-0/ticket", "seed-0/dense"}
    data = load_dataset(make_config("digits"))
    path = ticket_of(run).parent / "sample.npz"
    assert path.stat().st_size < 200_000
    with np.load(path, allow_pickle=False) as found:
        assert list(found["ids"]) == [0, 1, 2, 3, 4, 5, 6, 9]
        assert (found["images"][:, 0] == data.test.x[found["ids"]]).all()
        assert (found["labels"] == data.test.y[found["ids"]]).all()
        assert (int(found["index"]), int(found["label"])) == (9, data.test.y[9])
        assert list(found["classes"]) == list(data.classes)
        assert found["logits"].shape == (10,)
        assert found["prediction"] == found["logits"].argmax()
        assert found["prediction"] == np.load(path.parent / "predictions.npy")[9]
        assert found["membrane"].dtype == np.float32
        assert str(found["membrane_name"]).endswith(".neuron")
        assert "kept" not in found


def test_a_large_sample_holds_fewer_images(run, monkeypatch):
    monkeypatch.setattr(samples, "_LARGEST_SAMPLE", 3000)
    measure_run(run)
    path = ticket_of(run).parent / "sample.npz"
    with np.load(path) as found:
        assert 1 <= len(found["images"]) < 8
        assert list(found["ids"]) == list(range(len(found["images"])))


@pytest.mark.slow
def test_a_ladder(tmp_path):
    run = find(parse_recipe(LADDER), runs_dir=tmp_path).folder
    found = {stage.stage: stage.measured for stage in measure_run(run).stages}
    assert list(found) == ["selector", "dense", "patch"]
    patch = found["patch"]
    assert list(patch["groups"]) == ["conv_pep", "encoder_linear", "attention", "head", "selector"]
    product = next(row for row in patch["layers"] if row["kind"] == "attention")
    assert (product["shape"], product["weights"], product["kept"]) == (None, 0, 0)
    with np.load(run / "seed-0" / "patch" / "sample.npz", allow_pickle=False) as sample:
        tokens = int(np.prod(sample["grid"]))
        assert sample["kept"].shape == (8, tokens // 2)
        assert (np.diff(sample["kept"], axis=1) > 0).all()
        assert not any(str(name).startswith("selector") for name in sample["raster_names"])
    counted = read_json(run / "seed-0" / "patch" / "result.json")["operations"]
    for group, sums in patch["groups"].items():
        assert {k: sums[k] for k in ("dense", "acs", "macs")} == counted[group]


@pytest.mark.slow
def test_recordings(tmp_path):
    recipe = parse_recipe(
        {
            **CNN,
            "data": {"name": "digits_events", "train_limit": 64, "steps": 2},
            "controls": {"dense": False, "random_trained": False, "random_frozen": False},
        }
    )
    run = find(recipe, runs_dir=tmp_path).folder
    (stage,) = measure_run(run).stages
    assert (stage.measured["static"], stage.measured["timesteps"]) == (False, 2)
    first = stage.measured["layers"][0]
    # Events are counted, not normalised: an input of 3 is 3 accumulations.
    assert (first["calls"], first["input"], first["macs"]) == (2.0, "integers", 0.0)
    assert first["ac_units"] > first["acs"] > 0
    with np.load(stage.folder / "sample.npz", allow_pickle=False) as sample:
        assert sample["images"].shape[:3] == (8, 2, 2)


def test_numbers_of_images(run):
    path = ticket_of(run)
    one = measure_ticket(path, images=1)
    assert (one["set"]["images"], one["accuracy"] in (0.0, 100.0)) == (1, True)
    assert measure_ticket(path, images="all")["set"]["images"] == 360
    for wrong in (0, 361, -1):
        with pytest.raises(UserError, match="`images`: must be from 1 to the 360 test images"):
            measure_ticket(path, images=wrong)
    with pytest.raises(UserError, match="`sample`: must be from 0 to 359"):
        measure_run(run, sample=360)
    small = load_dataset(make_config("digits"))
    object.__setattr__(small, "test", small.test.take(np.arange(30)))
    assert measure.image_count(None, small) == 30


def test_it_is_the_files_plain_model_in_float32(run):
    path = ticket_of(run)
    ticket = Ticket.load(path)
    data = find_test_data(ticket, path)
    x, _ = next(iter(data.batches("cpu")))
    assert x.dtype == torch.float32
    right = 0
    model = from_ticket(ticket)
    with torch.no_grad():
        for x, y in data.batches("cpu", 100):
            right += int((model(x).argmax(1) == y).sum())
    assert measure_ticket(path, images=100)["accuracy"] == right


def test_what_cannot_be_measured(run, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"no run folder: it has no recipe\.toml"):
        measure_run(tmp_path)
    own = Ticket.load(ticket_of(run))
    alien = Ticket(own.layers, own.tensors, {"network": {"name": "MyNet"}})
    alien.save(tmp_path / "own.ticket")
    with pytest.raises(TicketError, match=r"own\.ticket: does not name a network of this package"):
        measure_ticket(tmp_path / "own.ticket")
    with claimed(run), pytest.raises(UserError, match="in use by process"):
        measure_run(run)
    reporter = Messages()
    (run / "seed-1" / "dense" / "result.json").unlink()
    found = measure_run(run, images=2, reporter=reporter)
    assert (found.missing, len(found.stages)) == (("seed-1/dense",), 7)
    assert "seed-1/dense is not finished and is left out" in reporter.lines
    for path in run.rglob("result.json"):
        path.unlink()
    with pytest.raises(UserError, match="has no finished stage"):
        measure_run(run)


def test_a_damaged_ticket_is_named_and_the_rest_is_measured(run):
    broken, cut = ticket_of(run, "dense"), ticket_of(run, "ticket", 1)
    ticket_of(run, "random_frozen").unlink()
    content = bytearray(broken.read_bytes())
    content[-1] ^= 0x55  # noticed by the digest alone, not by the header
    broken.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:40])
    for again in (False, True):
        found = measure_run(run, images=5)
        assert new(found) == (0 if again else 5)
        left_out = sorted(line.split(":")[0] for line in found.failed)
        lost = ticket_of(run, "random_frozen").parent
        assert left_out == sorted(str(path) for path in (broken, cut, lost))
        measured = {path.parent for path in run.rglob("measure.json")}
        assert measured == {stage.folder for stage in found.stages}
        assert len(measured) == 5
    for path in run.rglob("model.ticket"):
        path.write_bytes(b"")
    with pytest.raises(TicketError):
        measure_run(run, images=5)


def test_other_data_is_refused(run, monkeypatch):
    other = load_dataset(make_config("digits"))
    object.__setattr__(other, "checksum", "0" * 64)
    monkeypatch.setattr(measure, "load_dataset", lambda config: other)
    with pytest.raises(UserError, match="is not the data the ticket was made for"):
        measure_run(run)


def test_infinities_are_refused(run, tmp_path):
    ticket = Ticket.load(ticket_of(run))
    tensors = dict(ticket.tensors)
    broken = Ticket(
        tuple(
            type(layer)(
                name=layer.name,
                shape=layer.shape,
                kind="float",
                mask=layer.mask,
                values=np.where(layer.mask, np.float32(3e38), np.float32(0)),
            )
            if layer.name == "classifier"
            else layer
            for layer in ticket.layers
        ),
        tensors,
        ticket.metadata,
    )
    broken.save(tmp_path / "broken.ticket")
    with pytest.raises(UserError, match="values that are not finite numbers"):
        measure_ticket(tmp_path / "broken.ticket")


def test_a_net_that_decides_otherwise_than_its_run_is_told(run):
    path = run / "seed-0" / "ticket" / "predictions.npy"
    np.save(path, (np.load(path) + 1) % 10)
    reporter = Messages()
    measure_run(run, reporter=reporter)
    (line,) = reporter.lines
    assert "of these images are right now" in line
    assert "another version" in line
