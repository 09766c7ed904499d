"""find --workers: the seeds of a run in several processes."""

import json
from pathlib import Path

import pytest
from command import spiketicket

TINY = (
    "digits-binw",
    *("--set", "train.epochs=1", "--set", "data.train_limit=60", "--set", "train.batch_size=20"),
    *("--set", "train.kernel=eager"),
    *("--set", "controls.random_frozen=false", "--set", "model.width=0.125"),
    *("--threads", "1", "--no-report"),
)


def bytes_of(folder: Path) -> dict[str, bytes]:
    kinds = ("*.ticket", "*.npy", "result.json", "stages.json")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for kind in kinds
        for path in folder.rglob(kind)
    }


def read(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())
    return found


@pytest.mark.slow
def test_it_gives_what_one_process_gives(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    alone = spiketicket("find", *TINY, "--seeds", 2, "--runs", one, "--json")
    both = spiketicket("find", *TINY, "--seeds", 2, "--workers", 2, "--runs", two, "--json")
    assert (alone.exit_code, both.exit_code) == (0, 0)
    assert bytes_of(one) == bytes_of(two)
    left = {path.name for path in two.iterdir()} - {".rates"}
    assert len(left) == 1  # nothing else is left beside the run
    found = json.loads(both.stdout)
    assert found["seeds"] == [0, 1]
    other = ("--set", "ticket.density=0.3", "--seeds", 2, "--workers", 2, "--runs", one)
    assert spiketicket("find", *TINY, *other).exit_code == 0
    (run,) = (path for path in one.glob("digits-binw-*") if not (two / path.name).exists())
    for seed in ("seed-0", "seed-1"):
        dense, ticket = (read(run / seed / stage / "timing.json") for stage in ("dense", "ticket"))
        assert dense.get("shared")  # the density is no concern of it
        assert not ticket.get("shared")


@pytest.mark.slow
def test_what_fails_in_a_worker_is_an_error(tmp_path):
    broken = ("--set", "data.name=cifar10", "--set", f"data.root={tmp_path}")
    done = spiketicket("find", *TINY, *broken, "--seeds", 2, "--workers", 2, "--runs", tmp_path)
    assert done.exit_code == 2
    assert "cifar10" in done.stderr
    assert "Traceback" not in done.stderr
