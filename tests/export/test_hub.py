"""A Hugging Face folder: what is in it, that a changed file is noticed, push and pull."""

import importlib
import json
import os
import shutil
import types

import pytest

import spiketicket
from spiketicket.errors import UserError
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.export import hub
from spiketicket.ticket import Ticket, TicketError
from spiketicket.ticket.zoo import find_ticket


@pytest.fixture
def folder(tmp_path):
    found = evaluate_ticket(find_ticket("digits-binw").path)
    accuracy = found.test_accuracy, found.test_count
    path = find_ticket("digits-binw").path
    hub.write_folder(path, tmp_path / "made", "digits-binw", accuracy=accuracy)
    return tmp_path / "made"


def head_of(card):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(card.removeprefix("---\n").split("\n---\n")[0])


def test_the_folder_holds_the_ticket_its_recipe_and_a_card(folder):
    source = find_ticket("digits-binw")
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.ticket",
        "recipe.toml",
    ]
    assert (folder / "model.ticket").read_bytes() == source.path.read_bytes()
    assert spiketicket.load_recipe(folder / "recipe.toml").hash == source.recipe_hash
    assert hub.check_folder(folder) == folder / "model.ticket"
    card = (folder / "README.md").read_text()
    head = head_of(card)
    assert head["library_name"] == "spiketicket"
    metric = head["model-index"][0]["results"][0]["metrics"][0]
    assert metric == {
        "type": "accuracy",
        "value": pytest.approx(source.test_accuracy / 100, abs=1e-5),
    }
    assert f"{source.test_accuracy:.2f} % of 360 samples" in card
    assert Ticket.load(source.path).metadata["verdict"]["sentences"][0][:40] in card


def test_the_card_of_one_seed_of_an_earlier_version_claims_no_win(tmp_path):
    verdict = {"outcome": "wins", "seeds": 1, "sentences": ["Wins: 70.26 % against 69.50 %."]}
    path = tmp_path / "a.ticket"
    Ticket((), {}, {"verdict": verdict}).save(path)
    hub.write_folder(path, tmp_path / "made", "a", accuracy=None)
    card = (tmp_path / "made" / "README.md").read_text()
    assert "Ahead: 70.26 %" in card
    assert "One seed: no verdict." in card
    assert "Wins" not in card


def test_a_folder_that_fails_is_not_made(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise UserError("broken")

    monkeypatch.setattr(hub, "model_card", broken)
    with pytest.raises(UserError, match="broken"):
        hub.write_folder(find_ticket("digits-binw").path, tmp_path / "new" / "deep", "digits")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["model.ticket", "recipe.toml"])
def test_a_changed_or_missing_file_is_noticed(folder, file):
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(TicketError, match=f"{file}: was changed"):
        hub.check_folder(folder)
    (folder / file).unlink()
    with pytest.raises(TicketError, match=f"{file}: cannot be read"):
        hub.check_folder(folder)


def test_a_config_that_points_elsewhere_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["files"]["../secret"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TicketError, match="names a file it may not"):
        hub.check_folder(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="is no folder of a ticket"):
        hub.check_folder(folder)


def forged(tmp_path, **meta):
    whole = Ticket.load(find_ticket("digits-binw").path)
    kept = {k: v for k, v in whole.metadata.items() if k != "format_version"}
    Ticket(whole.layers, whole.tensors, {**kept, **meta}).save(tmp_path / "forged.ticket")
    return tmp_path / "forged.ticket"


def test_what_a_ticket_states_of_itself_is_not_in_its_card(tmp_path):
    path = forged(tmp_path, accuracy={"test": 77.77, "validation": 66.66}, recipe_hash="f0f0f0f0f0")
    card = None
    for accuracy, told in ((None, "not measured here"), ((98.5, 360), "98.50 % of 360 samples")):
        hub.write_folder(path, tmp_path / "made", "x", accuracy=accuracy)
        card = (tmp_path / "made" / "README.md").read_text()
        assert told in card
        assert not [word for word in ("77.77", "66.66", "f0f0f0f0f0", "0.7777") if word in card]
        assert "4258ba7a66" in card
        assert "Stated by its maker, not measured here: Ties" in card
        assert ("model-index" in head_of(card)) == (accuracy is not None)


def test_the_place_of_its_makers_data_is_left_out(tmp_path):
    whole = Ticket.load(find_ticket("digits-binw").path)
    recipe = json.loads(json.dumps(whole.metadata["recipe"]))
    recipe["data"]["root"] = "/home/somebody"
    hub.write_folder(forged(tmp_path, recipe=recipe), tmp_path / "made", "x")
    assert "somebody" not in (tmp_path / "made" / "recipe.toml").read_text()


def test_a_named_pipe_in_a_folder_does_not_hang(folder):
    (folder / "model.ticket").unlink()
    os.mkfifo(folder / "model.ticket")
    with pytest.raises(UserError, match="is not a file"):
        hub.check_folder(folder)


def test_metadata_of_a_foreign_ticket_cannot_write_markup(tmp_path):
    evil = 'x\n---\nlicense: "mine"\n<script>alert(1)</script> | [a](b)'
    ticket = Ticket.load(find_ticket("digits-binw").path)
    changed = {
        "data": {"name": evil},
        "condition": evil,
        "accuracy": {"test": 50.0},
        "verdict": {"sentences": [evil, "3"]},
        "network": {"name": evil.replace("\n", " ")},
    }
    Ticket(ticket.layers, ticket.tensors, changed).save(tmp_path / "evil.ticket")
    hub.write_folder(tmp_path / "evil.ticket", tmp_path / "made", evil)
    assert not (tmp_path / "made" / "recipe.toml").exists()
    card = (tmp_path / "made" / "README.md").read_text()
    assert "<" not in card
    assert "](" not in card
    assert sum(line == "---" for line in card.splitlines()) == 2
    assert "license" not in head_of(card)


class Hub:
    """What of ``huggingface_hub`` is used, over a local folder."""

    class errors:
        class HfHubHTTPError(Exception): ...

        class HFValidationError(ValueError): ...

    def __init__(self, root):
        self.root = root

    def HfApi(self):
        return types.SimpleNamespace(create_repo=self.create_repo, upload_folder=self.upload_folder)

    def create_repo(self, repository, *, private, exist_ok):
        if "/" not in repository:
            raise self.errors.HFValidationError("Repo id must be user/name")
        assert exist_ok
        (self.root / repository).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, *, repo_id, folder_path, commit_message, allow_patterns):
        for name in allow_patterns:
            shutil.copy(f"{folder_path}/{name}", self.root / repo_id / name)
        return f"https://hub/{repo_id}"

    def snapshot_download(self, repository, *, revision, local_dir, allow_patterns):
        if not (self.root / repository).exists():
            raise self.errors.HfHubHTTPError("404 Client Error\nmore")
        shutil.copytree(self.root / repository, local_dir)


def test_push_and_pull(folder, tmp_path, monkeypatch):
    fake = Hub(tmp_path / "hub")
    monkeypatch.setattr(hub, "needed", lambda module, extra: fake)
    (folder / "private-notes.txt").write_text("not to be uploaded")
    assert hub.push(folder, "user/digits") == "https://hub/user/digits"
    assert not (fake.root / "user" / "digits" / "private-notes.txt").exists()
    path = hub.pull("user/digits", tmp_path / "pulled")
    assert Ticket.load(path) == Ticket.load(folder / "model.ticket")
    with pytest.raises(
        UserError, match=r"nothing/here: the Hub did not do it: 404 Client Error\. Log"
    ):
        hub.pull("nothing/here", tmp_path / "other")
    with pytest.raises(UserError, match="noslash: the Hub did not do it"):
        hub.push(folder, "noslash")
    (fake.root / "user" / "digits" / "model.ticket").write_bytes(b"tampered")
    with pytest.raises(TicketError, match="was changed"):
        hub.pull("user/digits", tmp_path / "again")
    (folder / "model.ticket").write_bytes(b"tampered")
    with pytest.raises(TicketError, match="was changed"):
        hub.push(folder, "user/digits")


@pytest.mark.slow
def test_the_real_package_takes_these_arguments():
    import inspect

    real = pytest.importorskip("huggingface_hub")
    api = real.HfApi
    for function, ours in (
        (api.create_repo, Hub.create_repo),
        (api.upload_folder, Hub.upload_folder),
        (real.snapshot_download, Hub.snapshot_download),
    ):
        theirs = set(inspect.signature(function).parameters)
        assert set(inspect.signature(ours).parameters) - {"self", "repository"} <= theirs
    assert issubclass(real.errors.HfHubHTTPError, Exception)
    assert issubclass(real.errors.HFValidationError, ValueError)


def test_a_hub_that_cannot_be_reached(folder, monkeypatch):
    pytest.importorskip("huggingface_hub")
    constants = importlib.import_module("huggingface_hub.constants")  # the package loads it late
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="user/digits: the Hub did not do it"):
        hub.push(folder, "user/digits")
    with pytest.raises(UserError, match="user/digits: the Hub did not do it"):
        hub.pull("user/digits", folder / "pulled")


def test_a_damaged_config_is_not_to_be_computed_again(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(TicketError, match=r"config\.json: is damaged.*Get the folder again"):
        hub.check_folder(folder)


def test_the_card_of_a_custom_network_says_that_it_must_be_named(tmp_path):
    ticket = Ticket.load(find_ticket("digits-binw").path)
    recipe = json.loads(json.dumps(ticket.metadata["recipe"]))
    recipe["model"] = {"name": "mynet:make", "options": {"channels": 24}}
    recipe["neuron"] = {"name": "own"}
    metadata = {"network": {"name": "mynet:make"}, "recipe": recipe}
    Ticket(ticket.layers, ticket.tensors, metadata).save(tmp_path / "own.ticket")
    hub.write_folder(tmp_path / "own.ticket", tmp_path / "made", "own")
    card = (tmp_path / "made" / "README.md").read_text()
    assert "`spiketicket find recipe.toml --network mynet:make`" in card
    assert "who names it runs its code" in card
    assert "load_into(my_network, ticket)" in card
    metadata["network"]["graph"] = {}
    Ticket(ticket.layers, ticket.tensors, metadata).save(tmp_path / "whole.ticket")
    whole = hub.write_folder(tmp_path / "whole.ticket", tmp_path / "layers", "own")[-1].read_text()
    assert "from_ticket(ticket)" in whole
    assert "the ticket holds its layers" in whole
    shipped = hub.write_folder(find_ticket("digits-binw").path, tmp_path / "zoo", "zoo")[-1]
    assert "`spiketicket find recipe.toml` makes" in shipped.read_text()


@pytest.mark.parametrize("digest", [None, 3, ["0" * 64], "0" * 63, "X" * 64])
def test_a_config_with_another_digest_is_refused(folder, digest):
    config = json.loads((folder / "config.json").read_text())
    config["files"]["model.ticket"] = digest
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TicketError, match=r"files\.model\.ticket: must"):
        hub.check_folder(folder)
