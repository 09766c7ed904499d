"""A recipe that was changed trains only what the change concerns."""

import json
import shutil

import pytest

from spiketicket.errors import UserError
from spiketicket.experiment.find import find
from spiketicket.experiment.folder import RunFolder
from spiketicket.progress import NullReporter
from spiketicket.recipe import load_recipe
from spiketicket.recipe.registry import SHIPPED
from spiketicket.ticket import Ticket

pytestmark = pytest.mark.slow

SMALL = [
    "data.train_limit=60",
    "train.batch_size=20",
    "model.width=0.125",
    "model.timesteps=1",
    "train.epochs=1",
    "train.tune=off",
    "train.kernel=eager",
    "controls.random_trained=false",
]


class Told(NullReporter):
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


def made(runs, *changes):
    recipe = load_recipe(SHIPPED / "digits-binw.toml", [*SMALL, *changes])
    told = Told()
    found = find(recipe, runs_dir=runs, threads=1, reporter=told)
    taken = [line.partition(",")[0] for line in told.lines if "taken from there" in line]
    return RunFolder(found.folder).seed(0), taken


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    first, taken = made(folder, "ticket.density=0.5")
    assert taken == []
    return folder, first


def test_the_dense_net_is_not_trained_again_for_another_density(runs, tmp_path):
    place, taken = made(runs[0], "ticket.density=0.3")
    assert len(taken) == 1
    timing = json.loads(place.stage("dense").timing.read_text())
    assert timing["shared"] is True
    assert "shared" not in json.loads(place.stage("ticket").timing.read_text())
    alone, nothing = made(tmp_path, "ticket.density=0.3")
    assert nothing == []
    for name in ("dense", "ticket", "random_frozen"):
        one, other = (Ticket.load(p.stage(name).ticket) for p in (place, alone))
        assert one.digest() == other.digest(), name
        assert place.stage(name).result.read_text() == alone.stage(name).result.read_text()


def test_a_change_of_the_network_shares_nothing(runs):
    assert made(runs[0], "neuron.name=relu")[1] == []


def test_another_name_or_margin_shares_all(runs):
    assert len(made(runs[0], "ticket.density=0.5", "verdict.margin=3.0")[1]) == 3


def test_a_damaged_run_beside_is_passed_by(runs, tmp_path):
    folder, _ = made(tmp_path, "ticket.density=0.5")
    result = folder.stage("dense").result
    result.write_text(result.read_text().replace("0", "1"))
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "recipe.toml").write_text("[")
    assert made(tmp_path, "ticket.density=0.3")[1] == []


@pytest.mark.parametrize("linked", ["seed-0/dense/predictions.npy", "seed-0/dense", "data.json"])
def test_a_run_with_links_is_passed_by(runs, tmp_path, linked):
    folder = tmp_path / "runs"
    shutil.copytree(runs[1].path.parent, folder / runs[1].path.parent.name)
    place = folder / runs[1].path.parent.name / linked
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    _, taken = made(folder, "ticket.density=0.3")
    assert "dense" not in taken


def test_other_data_says_how_to_go_on(runs):
    folder, first = runs
    run = RunFolder(first.path.parent)
    before = run.data.read_text()
    run.data.write_text(json.dumps({**json.loads(before), "checksum": "0" * 64}))
    with pytest.raises(UserError, match="made with other digits data") as error:
        made(folder, "ticket.density=0.5")
    run.data.write_text(before)
    assert str(run.path) in error.value.remedy
    assert "`runs_dir`" in error.value.remedy
    assert "`root`" in error.value.remedy
