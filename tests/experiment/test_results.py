"""A run folder that any program may have written: read whole and right, or refused by name."""

import errno
import hashlib
import io
import json
import os
import shutil
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
import torch
from room import files_at_most
from safetensors.torch import save

from spiketicket.cli import guard
from spiketicket.errors import UserError
from spiketicket.experiment.record import check_record
from spiketicket.experiment.results import (
    read_predictions,
    read_result,
    read_table,
    write_result,
)
from spiketicket.experiment.schemas import StageResult
from spiketicket.machine import files
from spiketicket.machine.arrays import read_arrays
from spiketicket.machine.claims import Fence, SupersededError
from spiketicket.methods.states import read_state
from spiketicket.recipe import read_tables
from spiketicket.report.load import read_run
from spiketicket.sweep.plan import failure
from spiketicket.sweep.worker import read_beat
from spiketicket.training import checkpoint

FACTS = {
    "stage": "ticket",
    "density": 0.5,
    "binary": True,
    "kept": 5,
    "parameters": 10,
    "file_bytes": 100,
    "trained_epochs": 3,
    "test_accuracy": 97.5,
    "validation_accuracy": 96,
    "kept_by_layer": {"a": 5},
}


def test_a_result_has_a_digest_of_everything_else_in_it(tmp_path):
    path = tmp_path / "result.json"
    write_result(path, FACTS)
    stored = json.loads(path.read_text())
    digest = stored.pop("digest")
    text = json.dumps(stored, sort_keys=True, separators=(",", ":"))
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert read_result(path, StageResult) == FACTS
    path.write_text(path.read_text().replace("97.5", "99.5"))
    with pytest.raises(UserError, match=r"result\.json: is damaged: .*digest.*Delete"):
        read_result(path)


def test_a_result_of_an_earlier_version_has_none_and_is_read(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(FACTS))
    assert read_result(path, StageResult) == FACTS
    assert read_result(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"test_accuracy": "x"}, "test_accuracy"),
        ({"test_accuracy": None}, "test_accuracy"),
        ({"test_accuracy": 101}, "test_accuracy"),
        ({"density": [1]}, "density"),
        ({"kept_by_layer": {"a": "x"}}, "kept_by_layer.a"),
        ({"history": 3}, "history"),
        ({"trained_epochs": {}}, "trained_epochs"),
        ({"trained_epochs": "3"}, "trained_epochs"),
        ({"test_accuracy": True}, "test_accuracy"),
    ],
    ids=str,
)
def test_wrong_types_of_a_result_are_named(tmp_path, change, named):
    path = tmp_path / "result.json"
    write_result(path, {**FACTS, **change})
    with pytest.raises(UserError, match=f"is damaged: {named}: "):
        read_result(path, StageResult)


@pytest.mark.parametrize(
    "text", ["[]", "3", '"x"', "{", "", '{"a":' + "9" * 5000 + "}", "[" * 900, '{"a":1e999}']
)
def test_what_is_no_result_at_all_is_refused(tmp_path, text):
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"result\.json: is damaged"):
        read_result(path)
    with pytest.raises(UserError, match=r"result\.json: is damaged"):
        read_table(path, {"a": int})


def packed(**arrays):
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def npy(shape, kind="<i8", rows=b"\0" * 16):
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + rows


def test_predictions_are_whole_numbers_one_a_sample(tmp_path):
    path = tmp_path / "predictions.npy"
    np.save(path, np.array([3, 1, 2], np.int64))
    assert read_predictions(path, 3).tolist() == [3, 1, 2]
    whole = path.read_bytes()
    with pytest.raises(UserError, match="3 predictions for 4 samples"):
        read_predictions(path, 4)
    for content in (
        b"",
        b"x",
        whole[:10],
        whole[:-1],
        whole + b"\0",
        npy((10**12,)),
        npy((2, 1)),
        npy((2,), "<f8"),
        npy((2,), "|O"),
        npy((-2,)),
        npy(()),
        npy((0,), rows=b""),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"predictions\.npy: is damaged: .*Delete"):
            read_predictions(path)
    path.unlink()
    with pytest.raises(UserError, match=r"predictions\.npy: is missing"):
        read_predictions(path)


@pytest.mark.slow
def test_a_sample_is_not_unpacked_beyond_what_one_is(tmp_path):
    path = tmp_path / "sample.npz"
    path.write_bytes(packed(index=np.array(1)))
    assert read_arrays(path)["index"] == 1
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", b"\0" * (300 << 20))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(UserError, match="larger than any sample"):
        read_arrays(path)


READERS = {
    "result.json": read_result,
    "timing.json": lambda p: read_table(p, {}),
    "predictions.npy": read_predictions,
    "sample.npz": read_arrays,
    "recipe.toml": read_tables,
    "records.jsonl": check_record,
    "checkpoint.pt": lambda p: checkpoint.load(p, "key", *small()),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_named_pipe_or_a_folder_in_a_files_place_does_not_hang(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(UserError, match=r"is not a file|cannot be written"):
        READERS[name](tmp_path / name)


def test_a_pipe_in_a_sweeps_folder_does_not_hang(tmp_path):
    (tmp_path / "progress").mkdir()
    os.mkfifo(tmp_path / "progress" / "task")
    assert read_beat(tmp_path, "task") is None
    (tmp_path / "progress" / "other").write_text('{"stage":"x","epoch":"y"}')
    assert read_beat(tmp_path, "other") is None
    os.mkfifo(tmp_path / "token")
    with pytest.raises(UserError, match="is not a file"):
        Fence(tmp_path / "token", "a")()
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(SupersededError):
        Fence(tmp_path / "bytes", "a")()


def test_a_report_names_pipes_and_goes_on(tmp_path):
    run = tmp_path / "run"
    stage = run / "seed-0" / "ticket"
    stage.mkdir(parents=True)
    (run / "recipe.toml").write_text('name = "x"\n')
    names = (
        "data.json",
        "seed-0/ticket/result.json",
        "seed-0/ticket/log.jsonl",
        "seed-0/ticket/predictions.npy",
        "seed-0/ticket/measure.json",
        "seed-0/ticket/sample.npz",
    )
    for name in names:
        os.mkfifo(run / name)
    notes = read_run(run).notes
    assert all(any(name in note and "is not a file" in note for note in notes) for name in names)


@pytest.mark.parametrize(
    "error",
    [
        [],
        "x",
        {},
        {"message": 3, "type": "x", "host": "y"},
        {"message": "", "type": "", "host": ""},
    ],
    ids=str,
)
def test_a_foreign_record_of_a_failure_is_named(tmp_path, error):
    class Task:
        place = "here"

    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "error.json").write_text(json.dumps(error))
    with pytest.raises(UserError, match=r"error\.json: is damaged"):
        failure(Task(), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("beat", [{"stage": []}, {"epoch": 1e300}, {"step": "x"}], ids=str)
def test_a_report_of_progress_of_wrong_types_is_none(tmp_path, beat):
    sound = {"stage": "x", "epoch": 0, "epochs": 1, "steps": 1, "step": 0, "done_epochs": 0}
    (tmp_path / "progress").mkdir()
    (tmp_path / "progress" / "t").write_text(json.dumps(sound))
    assert read_beat(tmp_path, "t") is not None
    (tmp_path / "progress" / "t").write_text(json.dumps({**sound, **beat}))
    assert read_beat(tmp_path, "t") is None


def small():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(4, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def stored(change):
    """A checkpoint whose content was changed before its digest was made."""
    model, optimizer = small()
    content = {
        "format": 2,
        "key": "key",
        "progress": asdict(checkpoint.Progress()),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": {},
    }
    change(content)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    return hashlib.sha256(payload).digest() + payload


def set_in(*keys, to):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_in("progress", to=[]),
        set_in("progress", "epoch", to="x"),
        set_in("progress", "epoch", to=1.5),
        set_in("progress", "epoch", to=True),
        set_in("progress", "epoch", to=-1),
        set_in("progress", "step", to=-3),
        set_in("progress", "history", to={}),
        set_in("progress", "history", to=[1]),
        set_in("progress", "history", to=[{}]),
        set_in("progress", "stopped", to=1),
        set_in("progress", "more", to=1),
        set_in("model", to=None),
        set_in("model", "0.weight", to=torch.zeros(9)),
        set_in("model", "0.weight", to=3),
        set_in("model", "0.weight", to=torch.zeros(1).expand(10**9)),
        set_in("model", "0.weight", to=torch.zeros(2, 3, dtype=torch.int64)),
        set_in("best", to=[1]),
        set_in("best", to={"0.weight": torch.zeros(2, 3)}),
        set_in("optimizer", to={}),
        set_in("optimizer", "param_groups", 0, "lr", to="x"),
        set_in("optimizer", "state", 0, "exp_avg", to=torch.zeros(7)),
        set_in("key", to=["key"]),
        set_in("format", to=torch.zeros(2)),
    ],
)
def test_a_checkpoint_with_wrong_types_or_shapes_is_refused(tmp_path, change):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(stored(change))
    with pytest.raises(UserError, match=r"checkpoint\.pt: the checkpoint .*Delete it"):
        checkpoint.load(path, "key", *small())


def repacked(payload, packing):
    """The same archive of PyTorch's with other packing, and a digest that fits it."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(payload)) as old, zipfile.ZipFile(content, "w", packing) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return hashlib.sha256(content.getvalue()).digest() + content.getvalue()


def test_a_checkpoint_is_not_unpacked_beyond_its_size(tmp_path):
    """2 MB were 2 GB."""
    path = tmp_path / "checkpoint.pt"
    model, optimizer = small()
    checkpoint.save(path, "key", checkpoint.Progress(), model=model, optimizer=optimizer, best={})
    payload = path.read_bytes()[32:]
    path.write_bytes(repacked(payload, zipfile.ZIP_STORED))
    assert checkpoint.load(path, "key", model, optimizer) is not None
    path.write_bytes(repacked(payload, zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match="does not fit: ValueError: it is packed"):
        checkpoint.load(path, "key", model, optimizer)
    old = io.BytesIO()
    torch.save({"format": 2}, old, _use_new_zipfile_serialization=False)
    path.write_bytes(hashlib.sha256(old.getvalue()).digest() + old.getvalue())
    with pytest.raises(UserError, match="does not fit: BadZipFile"):
        checkpoint.load(path, "key", model, optimizer)


def test_a_checkpoint_as_it_is_written_is_taken(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(stored(lambda content: None))
    assert checkpoint.load(path, "key", *small()) == (checkpoint.Progress(), {})


def read(folder):
    return read_state(
        folder / "dense" / "weights.safetensors", torch.nn.Sequential(torch.nn.Linear(3, 2))
    )


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"0.weight": torch.zeros(2, 3)},
        {"0.weight": torch.zeros(9), "0.bias": torch.zeros(2)},
        {"0.weight": torch.zeros(2, 3), "0.bias": torch.zeros(2, dtype=torch.int64)},
        {"0.weight": torch.zeros(2, 3), "0.bias": torch.zeros(2), "more": torch.zeros(1)},
        {"0.weight": torch.zeros(2, 3), "0.bias": torch.zeros(2), "mask:0": torch.zeros(2, 3)},
        {"0.weight": torch.zeros(2, 3), "0.bias": torch.zeros(2), "mask:1": torch.ones(1).bool()},
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, state):
    (tmp_path / "dense").mkdir()
    path = tmp_path / "dense" / "weights.safetensors"
    path.write_bytes(save(state))
    with pytest.raises(UserError, match=r"weights\.safetensors: is of another network"):
        read(tmp_path)


def test_damaged_weights_and_pipes_are_refused(tmp_path):
    (tmp_path / "dense").mkdir()
    path = tmp_path / "dense" / "weights.safetensors"
    for content in (b"", b"x" * 100, save({"0.weight": torch.zeros(2, 3)})[:-1]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"weights\.safetensors: is damaged"):
            read(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="is not a file"):
        read(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_limit_names_the_file(tmp_path, monkeypatch, number):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    path = tmp_path / "result.json"
    with pytest.raises(UserError, match=r"result\.json: .*Make room"):
        files.write_bytes(path, b"x")
    with pytest.raises(OSError, match=os.strerror(number)) as found:
        files.write_atomic(path, b"x")
    assert "result.json: " in str(guard.explained(found.value))
    assert not list(tmp_path.iterdir())


def test_the_systems_own_limit_of_a_files_size(tmp_path):
    with (
        files_at_most(1000),
        pytest.raises(UserError, match=r"big: is larger than a file may be here"),
    ):
        files.write_bytes(tmp_path / "big", b"x" * 5000)
    assert not list(tmp_path.iterdir())
    shutil.rmtree(tmp_path)
