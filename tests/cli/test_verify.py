"""verify, and what show and eval say of a ticket's own words."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result

from spiketicket.ticket import Ticket
from spiketicket.ticket.zoo import find_ticket

Run = Callable[..., Result]


@pytest.fixture
def forged(tmp_path: Path) -> Path:
    """The zoo's ticket with another accuracy and recipe hash, and a digest that fits them."""
    whole = Ticket.load(find_ticket("digits-binw").path)
    meta = {k: v for k, v in whole.metadata.items() if k != "format_version"}
    meta["accuracy"] = {**meta["accuracy"], "test": 100.0}
    meta["recipe_hash"] = "0000000000"
    Ticket(whole.layers, whole.tensors, meta).save(tmp_path / "forged.ticket")
    return tmp_path / "forged.ticket"


def test_show_says_what_is_stated_and_what_does_not_fit(spike: Run, forged: Path) -> None:
    text = spike("show", str(forged)).stdout
    before, after = text.split("stated by its maker")
    assert "accuracy" not in before
    assert "test 100" in after
    assert "stated: Ties: " in after
    assert "recipe hash does not fit: stated is 0000000000, that of the recipe 4258ba7a66" in after
    clean = spike("show", str(find_ticket("digits-binw").path)).stdout
    assert "does not fit" not in clean


def test_show_json_keeps_stated_and_checked_apart(spike: Run, forged: Path) -> None:
    facts = json.loads(spike("show", str(forged), "--json").stdout)
    assert facts["stated"]["accuracy"]["test"] == 100.0
    assert "accuracy" not in facts
    found = {check["name"]: check["state"] for check in facts["checks"]}
    assert found["recipe hash"] == "does not fit"
    assert found["density"] == "fits"


def test_eval_ends_with_1_where_the_accuracy_is_not_reached(spike: Run, forged: Path) -> None:
    result = spike("eval", str(forged))
    assert result.exit_code == 1
    assert "not reached: 98.89 % measured, 100.00 % stated" in result.stdout
    assert json.loads(spike("eval", str(forged), "--json").stdout)["reached"] is False
    assert spike("eval", str(find_ticket("digits-binw").path)).exit_code == 0


def test_verify_ends_with_1_and_names_it(spike: Run, forged: Path) -> None:
    result = spike("verify", str(forged))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].strip() == "does not fit: recipe hash, accuracy"
    facts = json.loads(spike("verify", str(forged), "--json").stdout)
    assert facts["fits"] is False


def test_verify_of_a_sound_ticket(spike: Run) -> None:
    result = spike("verify", str(find_ticket("digits-binw").path))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].strip() == "all that could be checked fits"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.ticket"], "nothing.ticket"),
        (["digits-binw", "--runs", "y"], "goes with --rerun only"),
        (["digits-binw", "--threads", "2"], "goes with --rerun only"),
    ],
)
def test_verify_of_bad_input(spike: Run, arguments: list[str], told: str) -> None:
    result = spike("verify", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".x", "a\\b"])
@pytest.mark.parametrize("target", ["onnx", "nir", "torch", "pt2", "c"])
def test_an_exports_name_is_no_path(spike: Run, tmp_path: Path, name: str, target: str) -> None:
    out = tmp_path / "inner" / "out"
    ticket = str(find_ticket("digits-binw").path)
    result = spike("export", ticket, "--to", target, "-o", str(out), "--name", name)
    assert result.exit_code == 2
    assert "--name" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_command_measures_where_the_data_is_at_hand(
    spike: Run, forged: Path, tmp_path: Path
) -> None:
    done = spike(
        "export", str(forged), "--to", "hub", "-o", str(tmp_path / "made"), "--name", "u/n"
    )
    assert "98.89 % measured, 100.00 % stated" in done.stdout
    assert "98.89 % of 360 samples" in (tmp_path / "made" / "README.md").read_text()
    done = spike(
        "export",
        str(find_ticket("nmnist1k-vgg").path),
        "--to",
        "hub",
        "--root",
        str(tmp_path),
        "-o",
        str(tmp_path / "other"),
    )
    assert "none could be measured here" in done.stdout
    assert "not measured here" in (tmp_path / "other" / "README.md").read_text()
