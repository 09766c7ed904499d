"""A run folder that came from a stranger: links in it do not lead what is written elsewhere."""

import shutil
from pathlib import Path

import pytest

from spiketicket.errors import UserError
from spiketicket.experiment.find import find
from spiketicket.experiment.measure import measure_run
from spiketicket.recipe import parse_recipe
from spiketicket.sweep import run_sweep

RECIPE = parse_recipe(
    {
        "name": "tiny",
        "data": {"name": "digits", "train_limit": 100},
        "model": {"name": "convnet", "width": 0.25, "timesteps": 1},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.3},
        "train": {"epochs": 1, "batch_size": 64, "tune": "off", "kernel": "eager"},
        "controls": {"dense": False, "random_trained": False, "random_frozen": True},
    }
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find(RECIPE, runs_dir=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """The same without its verdict and a stage, beside somebody's own files."""
    made = tmp_path / "runs" / finished.name
    shutil.copytree(finished, made)
    (made / "result.json").unlink()
    shutil.rmtree(made / "seed-0" / "random_frozen")
    own = tmp_path / "own"
    own.mkdir()
    for name in ("precious", "timing.json", "checkpoint.pt", ".x.0123456789abcdef.tmp"):
        (own / name).write_text(name)
    return made


def untouched(own: Path) -> bool:
    return {p.name: p.read_text() for p in own.iterdir()} == {p.name: p.name for p in own.iterdir()}


def put(link: Path, target: Path) -> None:
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


@pytest.mark.parametrize("name", [".", "seed-0", "seed-0/random_frozen", ".claim", ".claim-seed-0"])
def test_a_run_goes_on_in_no_other_folder(run: Path, name: str) -> None:
    own = run.parents[1] / "own"
    put(run / name, own / "precious" if "claim" in name else own)
    with pytest.raises(UserError, match=r"is a symbolic link.*`runs_dir`"):
        find(RECIPE, runs_dir=run.parent)
    assert untouched(own)
    assert len(list(own.iterdir())) == 4


@pytest.mark.parametrize("name", ["sweep-x", ".shared", "sweep-x/tokens", "sweep-x/progress"])
def test_nor_does_a_sweep(run: Path, name: str) -> None:
    own = run.parents[1] / "own"
    (run.parent / name).parent.mkdir(exist_ok=True)
    put(run.parent / name, own)
    with pytest.raises(UserError, match="is a symbolic link"):
        run_sweep([RECIPE], runs_dir=run.parent, name="x")
    assert untouched(own)


def test_nor_is_a_measurement_written_there(run: Path) -> None:
    own = run.parents[1] / "own"
    stage = run / "seed-0" / "ticket"
    for name in ("result.json", "model.ticket"):
        shutil.copy(stage / name, own)
    put(stage, own)
    with pytest.raises(UserError, match="is a symbolic link"):
        measure_run(run, images=2)
    assert not (own / "measure.json").exists()


def test_a_folder_that_the_user_names_may_be_a_link(run: Path) -> None:
    (run.parents[1] / "disk").symlink_to(run.parent)
    assert find(RECIPE, runs_dir=run.parents[1] / "disk").tickets[0].is_file()
    (run.parent / "latest").symlink_to(run)
    assert measure_run(run.parent / "latest", images=2).stages
