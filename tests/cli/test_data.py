"""data: list, check, get."""

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from spiketicket import registry

Run = Callable[..., Result]


def test_list_names_every_dataset(spike: Run) -> None:
    output = spike("data", "list").stdout
    listed = json.loads(spike("data", "list", "--json").stdout)
    assert tuple(entry["name"] for entry in listed) == registry.names("data")
    for entry in listed:
        assert entry["name"] in output
        assert entry["licence"]


def test_check_of_data_that_is_there(spike: Run) -> None:
    result = spike("data", "check", "digits")
    assert result.exit_code == 0
    assert "1,437" in result.stdout
    report = json.loads(spike("data", "check", "digits", "--json").stdout)
    assert report["ok"] is True
    assert sum(report["test_counts"]) == 360


def test_check_of_data_that_is_not_there(spike: Run, tmp_path: Path) -> None:
    result = spike("data", "check", "cifar10", "--root", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "data get cifar10" in result.stderr
    report = spike("data", "check", "cifar10", "--root", str(tmp_path), "--json")
    assert report.exit_code == 2
    assert json.loads(report.stdout)["ok"] is False
    assert list(tmp_path.iterdir()) == []


def test_get_of_data_that_comes_with_the_package(spike: Run, tmp_path: Path) -> None:
    result = spike("data", "get", "digits", "--root", str(tmp_path))
    assert result.exit_code == 2
    assert "comes with this package" in result.stderr
