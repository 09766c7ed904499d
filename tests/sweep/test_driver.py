"""What the driver does when things go wrong; everything here happens in this process."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from spiketicket.errors import UserError
from spiketicket.experiment import train
from spiketicket.experiment.find import find
from spiketicket.machine import files
from spiketicket.machine.claims import Fence, SupersededError, claimed
from spiketicket.sweep import driver, run_runs, run_sweep
from spiketicket.sweep.worker import Order, Settings, execute
from spiketicket.training import checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def short(runs):
    """Two runs of one stage each, that have nothing in common."""
    controls = {"dense": False, "random_trained": False, "random_frozen": False}
    return runs("ticket.density=0.2,0.3", controls=controls, train={"epochs": 1})


def states(result):
    return [row["state"] for row in result.rows]


def test_finished_runs_are_never_run_again(tmp_path, short, inline, monkeypatch):
    first = run_runs(short, tmp_path, inline())
    assert states(first) == ["done", "done"]
    before = {p: p.stat().st_mtime_ns for r in short for p in (tmp_path / r.folder).rglob("*")}
    monkeypatch.setattr(train, "fit", lambda *a, **k: pytest.fail("trained again"))
    again = inline()
    assert run_runs(short, tmp_path, again).rows == first.rows
    assert again.orders == []
    record = tmp_path / "results.jsonl"
    run_runs(short, tmp_path, inline(), record=record)  # read once more, for the record
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert [row["hash"] for row in rows] == [r.recipe.hash for r in short]
    find(short[0].recipe, runs_dir=tmp_path, threads=1)  # and find reads them as its own
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())


def test_a_sweep_that_goes_on_says_what_it_kept(tmp_path, short, inline, listener):
    run_runs(short[:1], tmp_path, inline(), observer=listener)
    assert not any(text.startswith("kept") for text in listener.said)
    listener.said.clear()
    begun = tmp_path / short[1].folder / "seed-0" / "ticket"
    begun.mkdir(parents=True)
    (begun / "checkpoint.pt").touch()
    listener.tick = lambda view: pytest.fail("started")
    with pytest.raises(pytest.fail.Exception):
        run_runs(short, tmp_path, inline(), observer=listener)
    said = "kept: 1 of 2 seeds; to do: 1, of them begun before and going on: 1"
    assert listener.said == [said]


def test_a_failed_run_stays_until_it_is_retried(tmp_path, short, inline, listener, monkeypatch):
    real = train.fit
    bad = f"{short[0].folder}/seed-0"

    def fit(*args, training, **named):
        if bad in str(training.log):
            raise ZeroDivisionError("something is off")
        return real(*args, training=training, **named)

    monkeypatch.setattr(train, "fit", fit)
    result = run_runs(short, tmp_path, inline(), observer=listener)
    assert states(result) == ["failed", "done"]
    error = json.loads((tmp_path / bad / "error.json").read_text())
    assert (error["type"], error["message"]) == ("ZeroDivisionError", "something is off")
    assert "in fit" in error["traceback"]
    assert error["host"]
    assert error["attempt"] == 1
    (failed,) = result.failed
    assert failed["message"] == "something is off"
    assert [end for end in listener.ends if end[1] == "failed"] == [
        (f"{short[0].folder}, seed 0", "failed")
    ]

    monkeypatch.setattr(train, "fit", real)
    still = inline()
    assert states(run_runs(short, tmp_path, still)) == ["failed", "done"]
    assert still.orders == []
    assert states(run_runs(short, tmp_path, inline(), retry_failed=True)) == ["done", "done"]
    assert not list(tmp_path.rglob("error.json"))


def test_what_needs_a_failed_stage_is_blocked_and_the_rest_goes_on(
    tmp_path, runs, inline, monkeypatch
):
    made = runs("ticket.density=0.2,0.3", "seed=0:1", train={"epochs": 1})
    real = train.fit

    def fit(*args, training, **named):
        if training.log.parent.name == "dense" and training.seed == 0:
            raise UserError("the loss is not a number")
        return real(*args, training=training, **named)

    monkeypatch.setattr(train, "fit", fit)
    result = run_runs(made, tmp_path, inline())
    assert states(result) == ["blocked", "blocked"]
    assert [(f["task"], f["traceback"]) for f in result.failed] == [("shared dense, seed 0", "")]
    for run in made:
        assert (tmp_path / run.folder / "seed-1" / "ticket" / "result.json").exists()
    monkeypatch.setattr(train, "fit", real)
    assert states(run_runs(made, tmp_path, inline(), retry_failed=True)) == ["done", "done"]


def test_a_lost_worker_is_replaced_so_often_and_no_more(tmp_path, short, inline, listener):
    lost: dict[str, int] = {}

    def lose(times):
        def before(order):
            lost[order.task.id] = lost.get(order.task.id, 0) + 1
            here = order.task.run == short[0].folder and lost[order.task.id] <= times
            return "the worker was ended by signal SIGKILL" if here else None

        return before

    carrier = inline(lose(2))
    assert states(run_runs(short[:1], tmp_path / "a", carrier, retries=2)) == ["done"]
    seeds = [o for o in carrier.orders if o.task.kind == "seed"]
    assert [o.attempt for o in seeds] == [1, 2, 3]
    assert len({o.token for o in seeds}) == 3

    lost.clear()
    result = run_runs(short, tmp_path / "b", inline(lose(9)), retries=2, observer=listener)
    assert states(result) == ["failed", "done"]
    assert len([text for text in listener.said if "going on from its checkpoint" in text]) == 2
    error = json.loads((tmp_path / "b" / short[0].folder / "seed-0" / "error.json").read_text())
    assert error["type"] == "WorkerLost"
    assert "lost its worker 3 times" in error["message"]
    assert not list((tmp_path / "b" / f"sweep-{result.name}" / "tokens").iterdir())


def test_a_worker_that_was_given_up_stops_without_writing(tmp_path, short, inline, monkeypatch):
    """As one does that its driver took for lost: the newest token is not its own any more."""
    (run, _) = short
    settings = Settings(runs_dir=str(tmp_path), sweep="sweep-x")
    for part in ("tokens", "progress"):
        (settings.folder / part).mkdir(parents=True)
    from spiketicket.sweep.plan import make_plan

    task = make_plan([run], tmp_path).tasks[0]
    token = settings.folder / "tokens" / task.id
    token.write_text("first")
    real, saved = checkpoint.save, []

    def save(path, *rest, **named):
        real(path, *rest, **named)
        saved.append(path.read_bytes())
        token.write_text("second")

    monkeypatch.setattr(checkpoint, "save", save)
    assert execute(Order(task, 1, "first"), settings).state == "superseded"
    place = tmp_path / run.folder / "seed-0" / "ticket"
    assert len(saved) == 1
    assert (place / "checkpoint.pt").read_bytes() == saved[0]
    assert not (place / "result.json").exists()
    assert not (tmp_path / run.folder / "seed-0" / "error.json").exists()
    # one that comes too late does not even begin, nor takes the token away from the other
    assert execute(Order(task, 1, "first"), settings).state == "superseded"
    assert token.read_text() == "second"
    monkeypatch.setattr(checkpoint, "save", real)
    assert execute(Order(task, 2, "second"), settings).state == "done"


def test_a_fence_without_its_file_is_closed(tmp_path):
    fence = Fence(tmp_path / "token", "mine")
    with pytest.raises(SupersededError):
        fence()
    (tmp_path / "token").write_text("mine")
    fence()


def test_a_second_driver_stops_the_first(tmp_path, short, inline):
    def other(order):
        (tmp_path / "sweep-x" / "tokens" / order.task.id).write_text("of the other driver")

    result = run_runs(short, tmp_path, inline(other), name="x")
    assert "another driver has taken this sweep over" in result.stopped
    assert states(result) == ["waiting", "waiting"]


def test_one_driver_at_a_time(tmp_path, short, inline):
    with (
        claimed(tmp_path / "sweep-x", deep=False),
        pytest.raises(UserError, match=f"in use by process {os.getpid()}"),
    ):
        run_runs(short, tmp_path, inline(), name="x")


def test_a_full_disk_stops_the_sweep_and_nothing_is_lost(
    tmp_path, runs, inline, listener, content, monkeypatch
):
    made = runs("ticket.density=0.2,0.3", controls={"random_frozen": False})
    real, left = files.os.fsync, [60]

    def fsync(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    result = run_runs(made, tmp_path / "full", inline(), observer=listener)
    assert "the disk is full" in result.stopped
    assert result.failed == ()
    assert not list(tmp_path.rglob("error.json"))
    assert any("no more runs are started" in text for text in listener.said)
    monkeypatch.setattr(files.os, "fsync", real)
    assert states(run_runs(made, tmp_path / "full", inline())) == ["done", "done"]
    run_runs(made, tmp_path / "whole", inline())
    for run in made:
        assert content(tmp_path / "full" / run.folder) == content(tmp_path / "whole" / run.folder)


def test_a_checkpoint_that_does_not_fit_is_no_failure_of_the_run(
    tmp_path, short, inline, monkeypatch
):
    """Smaller files, such as error.json, may well fit still."""

    def save(path, *rest, **named):
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise UserError("the disk is full", where=str(path)) from full

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", save)
        result = run_runs(short, tmp_path, inline())
    assert "the disk is full" in result.stopped
    assert states(result) == ["waiting", "waiting"]
    assert not list(tmp_path.rglob("error.json"))
    assert states(run_runs(short, tmp_path, inline())) == ["done", "done"]


def test_a_folder_in_use_is_waited_for(tmp_path, short, inline, listener, monkeypatch):
    monkeypatch.setattr(driver, "_BUSY_S", 0.0)
    mine = claimed(tmp_path / short[0].folder, "seed-0")
    mine.__enter__()
    tried = []

    def release(order):
        if order.task.run == short[0].folder:
            tried.append(order)
            if len(tried) == 3:
                mine.__exit__(None, None, None)

    result = run_runs(short, tmp_path, inline(release), observer=listener)
    assert states(result) == ["done", "done"]
    (waited,) = [text for text in listener.said if text.startswith("waiting")]
    assert f"in use by process {os.getpid()}" in waited


def test_a_holder_of_the_same_sweep_is_no_hindrance(tmp_path):
    """Its host may be gone without its lock: the fence is what keeps it from writing."""
    with claimed(tmp_path, "seed-0", sweep="sweep-x"):
        with pytest.raises(UserError, match="in use"), claimed(tmp_path, "seed-0"):
            pass
        with pytest.raises(UserError, match="in use"), claimed(tmp_path, "seed-0", sweep="other"):
            pass
        with claimed(tmp_path, "seed-0", sweep="sweep-x"):
            pass
    assert not list(tmp_path.glob(".claimed-by*"))


def test_two_seeds_of_one_run_are_two_claims(tmp_path):
    with claimed(tmp_path, "seed-0"), claimed(tmp_path, "seed-1"), claimed(tmp_path, deep=False):
        pass


def test_a_short_claim_leaves_the_seeds_of_others_alone(tmp_path):
    (tmp_path / "seed-0").mkdir()
    left = [p / f".x.{'0' * 16}.tmp" for p in (tmp_path, tmp_path / "seed-0")]
    for path in left:
        path.touch()
    with claimed(tmp_path, deep=False):
        assert [p.exists() for p in left] == [False, True]


def test_a_recipe_that_was_edited_between_two_starts(tmp_path, short, runs, inline):
    run_runs(short[:1], tmp_path, inline(), name="x")
    with pytest.raises(UserError, match=r"started with other runs.*`restart_plan=True`") as e:
        run_runs(short, tmp_path, inline(), name="x")
    assert "0 of 1 are no longer asked for, 1 of 2 are new" in str(e.value)
    carrier = inline()
    result = run_runs(short, tmp_path, carrier, name="x", restart_plan=True)
    assert states(result) == ["done", "done"]
    assert {order.task.run for order in carrier.orders} == {short[1].folder}


@pytest.mark.parametrize("place", ["a file", "a name"])
def test_bad_places(tmp_path, short, inline, place):
    if place == "a file":
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match=r"cannot be written.*`runs_dir`"):
            run_runs(short, tmp_path / "file", inline())
    else:
        with pytest.raises(UserError, match="`name`"):
            run_runs(short, tmp_path, inline(), name="../x")


def test_a_worker_that_does_not_see_the_folder(tmp_path, short, inline):
    def unmount(order):
        shutil.rmtree(tmp_path / "sweep-x" / "tokens")

    result = run_runs(short, tmp_path, inline(unmount), name="x")
    assert "needs the folder of the runs at the same path" in result.stopped
    assert not list(tmp_path.rglob("error.json"))


def test_no_time_of_a_file_decides_anything(tmp_path, short, inline):
    """The clocks of two hosts may be decades apart."""
    times = [0, 4_000_000_000, 1_000_000_000]

    def elsewhere(order):
        for path in tmp_path.rglob("*"):
            os.utime(path, (times[0], times[0]))
        times.append(times.pop(0))
        return "its node was lost" if order.attempt == 1 else None

    carrier = inline(elsewhere)
    assert states(run_runs(short, tmp_path, carrier)) == ["done", "done"]
    assert [o.attempt for o in carrier.orders] == [1, 2] * 4
    again = inline()
    run_runs(short, tmp_path, again)
    assert again.orders == []


def test_the_order_of_the_axes_is_no_other_sweep(tmp_path, short, inline):
    run_runs(short, tmp_path, inline(), name="x")
    again = inline()
    assert states(run_runs(short[::-1], tmp_path, again, name="x")) == ["done", "done"]
    assert again.orders == []


def test_the_library_takes_a_list_of_recipes(tmp_path, short, inline):
    recipes = [run.recipe for run in short]
    result = run_sweep(recipes, 2, tmp_path, inline())
    assert [row["seeds"] for row in result.rows] == [[0, 1], [0, 1]]
    assert states(result) == ["done", "done"]
    written = json.loads((Path(result.folder) / "sweep.json").read_text())
    assert [run["folder"] for run in written["runs"]] == [run.folder for run in short]
    assert {task["state"] for task in written["tasks"].values()} == {"done"}


def test_finished_runs_are_measured_where_that_is_asked_for(tmp_path, short, inline):
    run_runs(short, tmp_path, inline())
    assert not list(tmp_path.rglob("measure.json"))
    first = inline()
    result = run_runs(short, tmp_path, first, measure=True)
    assert states(result) == ["done", "done"]
    assert [order.task.kind for order in first.orders] == ["verdict", "verdict"]
    found = {run.folder: list((tmp_path / run.folder).rglob("measure.json")) for run in short}
    assert [len(paths) for paths in found.values()] == [1, 1]
    again = inline()
    run_runs(short, tmp_path, again, measure=True)
    assert again.orders == []
