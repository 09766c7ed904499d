"""A recipe's data beside its file, and a ticket's where its run says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import spiketicket as spike
from PIL import Image

from spiketicket.bench.samples import load_samples
from spiketicket.data import place as _data_place
from spiketicket.errors import DataNote, UserError
from spiketicket.experiment.conclude import FindResult
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.find import find
from spiketicket.experiment.measure import measure_run
from spiketicket.experiment.verify import verify_ticket
from spiketicket.export.inputs import check_inputs
from spiketicket.recipe import load_recipe, recipe_tables
from spiketicket.ticket import Ticket

RECIPE = """
name = "mine"
data = {name = "image_folder", root = "pictures", size = 8, channels = 1}
model = {name = "convnet", width = 0.1, timesteps = 1}
neuron = {name = "lif"}
ticket = {name = "edge_popup", density = 0.5}
train = {epochs = 1, batch_size = 16}
controls = {dense = false, random_trained = false, random_frozen = false}
"""


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKETICKET_DATA", raising=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe beside a folder of pictures, as the README says."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.toml").write_text(RECIPE)
    rng = np.random.default_rng(0)
    for low, name in ((0, "dark"), (128, "light")):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(low, low + 128, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def found(place: Path) -> FindResult:
    """A run of it, from another working directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPIKETICKET_DATA", raising=False)
        (place / "elsewhere").mkdir()
        patch.chdir(place / "elsewhere")
        return find(load_recipe(place / "mine.toml"), runs_dir=place / "runs")


def test_a_relative_root_is_relative_to_the_recipes_file(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert load_recipe("mine.toml").data.root == str(place / "pictures")
    monkeypatch.chdir(tmp_path)
    assert load_recipe(place / "mine.toml").data.root == str(place / "pictures")
    assert recipe_tables(place / "mine.toml")["data"]["root"] == str(place / "pictures")
    # What the command line gives is relative to where the person is.
    assert load_recipe(place / "mine.toml", ["data.root=here"]).data.root == "here"
    for root in ("~/data", "", str(place)):
        text = RECIPE.replace('"pictures"', json.dumps(root))
        (tmp_path / "other.toml").write_text(text)
        assert load_recipe(tmp_path / "other.toml").data.root == root


def test_the_root_changes_no_hash_and_is_in_no_ticket(place: Path, found: FindResult) -> None:
    assert found.recipe.hash == load_recipe(place / "mine.toml", ["data.root=x"]).hash
    for name in found.tickets:
        assert str(place).encode() not in name.read_bytes()
    assert load_recipe(found.folder / "recipe.toml").data.root == str(place / "pictures")


def test_every_command_finds_the_data_of_a_ticket_beside_its_run(
    place: Path, found: FindResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ticket = found.tickets[0]
    note = f"note: data from {place / 'pictures'}, as its run says"
    for path in (ticket, found.folder / "seed-0" / "ticket" / "model.ticket"):
        for command in (("eval",), ("measure", "--images", "4")):
            result = spike(*command, str(path))
            assert result.exit_code == 0, result.stderr
            assert result.stderr.splitlines().count(note) == 1
    measured = spike("measure", str(found.folder), "--images", "4")
    assert measured.exit_code == 0, measured.stderr
    with pytest.warns(DataNote, match="as its run says"):
        assert len(load_samples(Ticket.load(ticket), ticket, count=4).images) == 4
    with pytest.warns(DataNote, match="as its run says"):
        source = check_inputs(Ticket.load(ticket), ticket, 4)[1]
    assert source == "test samples of image_folder"
    given = spike("eval", str(ticket), "--root", str(place / "pictures"))
    assert given.exit_code == 0
    assert "as its run says" not in given.stderr


def test_a_ticket_away_from_its_run_needs_the_root(found: FindResult, tmp_path: Path) -> None:
    alone = tmp_path / "alone.ticket"
    shutil.copy(found.tickets[0], alone)
    with pytest.raises(UserError, match="no folder to look for image_folder in"):
        evaluate_ticket(alone)


def test_a_strangers_run_folder_names_no_folder_to_read(
    place: Path, found: FindResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _data_place.recorded(found.folder) == str(place / "pictures")
    # Unpacked or copied: the file is this user's, and lies in another folder than it was made in.
    copy = tmp_path / "copy"
    shutil.copytree(found.folder, copy)
    assert _data_place.recorded(copy) == ""
    with pytest.raises(UserError, match="no folder to look for image_folder in"):
        evaluate_ticket(copy / found.tickets[0].name)
    with pytest.raises(UserError, match="no folder to look for image_folder in"):
        measure_run(_unmeasured(copy), images=4)
    # Of another user, in a folder that both may write to.
    if hasattr(os, "geteuid"):
        monkeypatch.setattr(os, "geteuid", lambda: -1)
        assert _data_place.recorded(found.folder) == ""


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"root": 7}', '{"root": "pictures"}', '{"root": "/no/such/folder"}'],
)
def test_a_damaged_record_is_none(tmp_path: Path, content: str) -> None:
    if content.startswith('{"'):
        content = content[:-1] + f', "inode": {tmp_path.stat().st_ino}}}'
    (tmp_path / _data_place.FILE).write_text(content)
    assert _data_place.recorded(tmp_path / "a.ticket") == ""


def _unmeasured(folder: Path) -> Path:
    for path in folder.rglob("measure.json"):
        path.unlink()
    return folder


@pytest.mark.filterwarnings("ignore::spiketicket.errors.DataNote")
def test_a_repeated_search_finds_the_data_of_the_run(found: FindResult) -> None:
    checks = verify_ticket(found.tickets[0], rerun=True).checks
    assert [c.state for c in checks if c.name in ("accuracy", "search again")] == ["fits"] * 2
