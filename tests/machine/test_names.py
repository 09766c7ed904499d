"""Nothing that a file or an option says leads out of the folder that was asked for."""

import pytest

from spiketicket.data import load_dataset, make_config
from spiketicket.data.of_ticket import find_test_data
from spiketicket.errors import UserError
from spiketicket.machine import names
from spiketicket.recipe import parse_recipe
from spiketicket.ticket import Ticket, TicketError
from spiketicket.ticket.zoo import find_ticket

OUTSIDE = [
    "..",
    "../x",
    "a/../../x",
    "/",
    "/proc",
    "~",
    "~root/x",
    "C:/x",
    "c:x",
    "\\\\host\\share",
    "a\\..\\b",
    "a\0b",
    "a\nb",
    "x" * 5000,
]


@pytest.mark.parametrize("dataset", ["image_folder", "event_folder"])
@pytest.mark.parametrize("folder", OUTSIDE)
def test_a_recipes_folder_stays_below_the_root(dataset, folder):
    data = {"name": dataset, "folder": folder}
    with pytest.raises(UserError, match=r"x\.toml: data\.folder: must "):
        parse_recipe(
            {
                "name": "x",
                "data": data,
                "model": {"name": "convnet"},
                "neuron": {"name": "lif"},
                "ticket": {"name": "edge_popup", "density": 0.5},
                "train": {"epochs": 1, "batch_size": 1},
            },
            "x.toml",
        )


@pytest.mark.parametrize("folder", ["", ".", "cats", "a/b", "...", "a..b", "x~", "naïve dir"])
def test_folders_below_the_root_are_taken(folder):
    assert make_config("image_folder", folder=folder).folder == folder


def test_a_link_inside_the_root_is_followed(tmp_path):
    (tmp_path / "else").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "else")
    config = make_config("image_folder", root=str(tmp_path / "root"), folder="link")
    with pytest.raises(UserError, match="holds no class folder"):
        load_dataset(config)


def changed(tmp_path, **data):
    """The zoo's ticket with other words about its data."""
    whole = Ticket.load(find_ticket("digits-binw").path)
    meta = {k: v for k, v in whole.metadata.items() if k != "format_version"}
    meta["data"] = {**meta["data"], "config": data}
    path = tmp_path / "x.ticket"
    Ticket(whole.layers, whole.tensors, meta).save(path)
    return Ticket.load(path), path


def test_a_tickets_folder_does_not_climb(tmp_path):
    ticket, path = changed(tmp_path, name="image_folder", folder="../../../proc")
    with pytest.raises(TicketError, match=r"data\.config\.folder must not leave"):
        find_test_data(ticket, path, root=str(tmp_path))


def test_a_tickets_root_is_not_used(tmp_path, monkeypatch):
    monkeypatch.delenv("SPIKETICKET_DATA", raising=False)
    ticket, path = changed(tmp_path, name="image_folder", root="/", folder="proc")
    with pytest.raises(UserError, match="no folder to look for image_folder in"):
        find_test_data(ticket, path)


@pytest.mark.parametrize("root", ["~nosuchuser/x", "~nosuchuser"])
def test_a_home_that_is_not_there_is_named(root):
    with pytest.raises(UserError, match=r"data\.root: names a home folder.*nosuchuser"):
        load_dataset(make_config("mnist", root=root))


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "..", ".", "", " ", ".hidden", "a\0", "a\n", "c:x", "x" * 300]
)
def test_a_file_name_is_no_path(name):
    with pytest.raises(UserError, match="must be a plain file name"):
        names.file_name(name)


@pytest.mark.parametrize("name", ["x", "my net 2.1", "naïve", "a-b_c"])
def test_a_plain_file_name_is_taken(name):
    assert names.file_name(name) == name
