"""Claims are fixed before the first run, and a change of them is told."""

from __future__ import annotations

import json

import pytest

from spiketicket.errors import UserError
from spiketicket.reproduce import cells_of, load_study
from spiketicket.reproduce.registered import claims_hash, register, registration


@pytest.fixture
def made():
    study = load_study("energy")
    return study, cells_of(study, "smoke")


def test_a_changed_band_changes_the_hash_and_is_told(made, changed, tmp_path):
    study, cells = made
    assert "not written down" in registration(study, cells, "smoke", tmp_path)
    register(study, cells, "smoke", tmp_path)
    assert "those from before the first run" in registration(study, cells, "smoke", tmp_path)
    claims = (changed(study.claims[0], band=(6.0, 13.38)), *study.claims[1:])
    other = changed(study, claims=claims)
    assert claims_hash(other, cells) != claims_hash(study, cells)
    register(other, cells, "smoke", tmp_path)  # what is written stays
    assert "Claims changed after the first run" in registration(other, cells, "smoke", tmp_path)


def test_recipes_and_seeds_are_part_of_it(made):
    study, cells = made
    assert claims_hash(study, cells) != claims_hash(study, cells_of(study, "smoke", 2))
    assert claims_hash(study, cells) != claims_hash(study, cells[:-1])
    assert claims_hash(study, cells) == claims_hash(study, cells[::-1])


def test_a_damaged_file_is_told(made, tmp_path):
    study, cells = made
    path = tmp_path / "claims-energy-smoke.json"
    path.write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        registration(study, cells, "smoke", tmp_path)
    path.write_text("[1]")
    assert "not written down" in registration(study, cells, "smoke", tmp_path)


@pytest.mark.parametrize(
    "change", [{"hash": "<script>alert(1)</script>"}, {"hash": "12"}, {"runs_before": -1}]
)
def test_a_strangers_file_is_as_none(made, tmp_path, change):
    study, cells = made
    register(study, cells, "smoke", tmp_path)
    path = tmp_path / "claims-energy-smoke.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    told = registration(study, cells, "smoke", tmp_path)
    assert "not written down before the first run" in told
    assert "script" not in told


def test_a_damaged_file_or_a_link_is_refused_before_anything_runs(made, tmp_path):
    study, cells = made
    path = tmp_path / "claims-energy-smoke.json"
    path.write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        register(study, cells, "smoke", tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a symbolic link"):
        register(study, cells, "smoke", tmp_path)
