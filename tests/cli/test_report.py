"""report: the command around ``write_report``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that has only begun."""
    made = tmp_path / "begun-0123456789"
    made.mkdir()
    (made / "recipe.toml").write_text('name = "begun"\n[ticket]\nname = "edge_popup"\n')
    return made


def test_a_report_is_written_and_named(spike: Run, folder: Path, tmp_path: Path) -> None:
    page, figures = tmp_path / "page.html", tmp_path / "figures"
    result = spike("report", str(folder), "-o", str(page), "--figures", str(figures))
    assert result.exit_code == 0
    assert result.stderr == ""
    assert f"report   {page}, " in result.stdout
    assert f"figures  {figures}" in result.stdout
    assert page.read_text().startswith("<!doctype html>")


def test_without_a_name_it_is_report_html(
    spike: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert spike("report", str(folder)).exit_code == 0
    assert (tmp_path / "report.html").exists()


def test_what_cannot_be_read_is_a_note(spike: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "result.json").write_text("{")
    result = spike("report", str(folder), str(folder), "-o", str(tmp_path / "a.html"))
    assert result.exit_code == 0
    first, second = result.stderr.splitlines()
    assert first == "note: 1 folder given more than once: shown once."
    assert second.startswith("note: begun-0123456789: result.json: ")


def test_as_json_it_is_one_document(spike: Run, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    result = spike("report", str(folder), str(folder), "-o", str(page), "--json")
    assert result.stderr == ""
    told = json.loads(result.stdout)
    assert (told["page"], told["bytes"]) == (str(page), page.stat().st_size)
    assert (told["runs"], told["detailed"], told["figures"]) == (1, 1, None)
    assert told["notes"] == ["1 folder given more than once: shown once."]


def test_what_is_no_run_is_an_error(spike: Run, folder: Path, tmp_path: Path) -> None:
    result = spike("report", str(folder), str(tmp_path / "nothing"), "-o", str(tmp_path / "a.html"))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path / 'nothing'}: is no run folder")
    assert not (tmp_path / "a.html").exists()


def test_a_place_that_cannot_be_written(spike: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = spike("report", str(folder), "-o", str(tmp_path / "file" / "a.html"))
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_it_needs_a_run(spike: Run) -> None:
    assert spike("report").exit_code == 2
