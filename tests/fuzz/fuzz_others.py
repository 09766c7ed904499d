"""Fuzz targets: recordings of events, recipes, run folders and checkpoints, damaged in any way."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import bag_files
import numpy as np
import tomli_w
from fuzz_edits import Draw, edited_bytes, edited_tree, json_text
from fuzz_guard import limited
from fuzz_tickets import helper, printed
from hypothesis import strategies as st

from spiketicket.events import iter_chunks, read_events
from spiketicket.events.frames import FrameConfig, to_frames
from spiketicket.events.statistics import Statistics
from spiketicket.recipe import load_recipe, read_tables, to_toml
from spiketicket.recipe.named import packaged_recipes
from spiketicket.report.writing import write_report

EVENTS = [(1000 + 7 * i, i % 128, 5 * i % 128, i % 2) for i in range(40)]
HEADERS = [
    b"'<f8'",
    b"'<f2'",
    b"'|O'",
    b"'<U9'",
    b"'<M8[ns]'",
    b"'<c16'",
    b"(40, 4)",
    b"(40,)",
    b"()",
    b"(-1,)",
    b"(1000000000000,)",
    b"(1000000, 1000000)",
    b"True",
    b"False",
    b"'<u8'",
    b"'<i2'",
]


def recordings(draw: Draw, folder: Path) -> None:
    """A recording in any format but AEDAT 4, whose reader is a process of its own."""
    formats = {k: v for k, v in helper("events/conftest.py").FORMATS.items() if k != "aedat4"}
    _recording(draw, folder, *formats[draw(st.sampled_from(sorted(formats)))])


def aedat4_recordings(draw: Draw, folder: Path) -> None:
    """AEDAT 4, slowly."""
    _recording(draw, folder, *helper("events/conftest.py").FORMATS["aedat4"])


def _recording(draw: Draw, folder: Path, suffix: str, encode: Any) -> None:
    content = encode(EVENTS)
    if suffix == ".npz" and draw(st.booleans()):
        content = _edited_archive(draw, content)
    elif suffix == ".npy" and draw(st.booleans()):
        content = _edited_header(draw, content)
    if draw(st.booleans()):
        content = edited_bytes(draw, content)
    path = folder / f"a{suffix}"
    path.write_bytes(content)
    sensor = draw(st.sampled_from([None, (128, 128)]))
    _read(path, sensor)


def _read(path: Path, sensor: tuple[int, int] | None = None) -> None:
    """Read it whole and by chunks, as frames, and as what ``view`` prints of it."""
    events = None
    with limited("read_events"):
        events = read_events(path, sensor=sensor)
    with limited("iter_chunks"):
        chunks = iter_chunks(path, sensor=sensor)
        if chunks.sensor[0] * chunks.sensor[1] <= 1 << 18:
            numbers = Statistics(sensor=chunks.sensor)
            for part in chunks:
                numbers.add(part)
            assert numbers.facts()["events"] == int(numbers.counts.sum())
    if events is not None and events.width * events.height <= 1 << 20:
        with limited("to_frames", 1 << 28):
            frames = to_frames(events, FrameConfig(steps=4))
            assert int(frames.sum()) == len(events)


def bags(draw: Draw, folder: Path) -> None:
    """A bag of ROS 2 in SQLite: messages and the file itself are damaged."""
    encoding = draw(st.sampled_from(["evt3", "mono", "libcaer", "libcaer_cmp", "dvs"]))
    told = bag_files.messages(EVENTS, encoding)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(told) - 1))
        told[at] = edited_bytes(draw, told[at])
    told = draw(st.permutations(told)) if draw(st.booleans()) else told
    kind = bag_files.ARRAY if encoding == "dvs" else bag_files.PACKET
    topic = draw(st.sampled_from(["/events", "/events", "\x1b[2J", "a" * 5000, ""]))
    path = bag_files.db3(folder / "a.db3", told, kind, topic)
    if draw(st.booleans()):
        path.write_bytes(edited_bytes(draw, path.read_bytes()))
    _read(path)


def mcap_recordings(draw: Draw, folder: Path) -> None:
    """A bag of ROS 2 in MCAP, slowly: its reader is a process of its own."""
    told = bag_files.messages(EVENTS, "mono")
    packed = draw(st.sampled_from(["NONE", "ZSTD", "LZ4"]))
    content = bag_files.mcap(told, compression=packed)
    (folder / "a.mcap").write_bytes(edited_bytes(draw, content))
    _read(folder / "a.mcap")


def hdf5_recordings(draw: Draw, folder: Path) -> None:
    """HDF5, slowly: its reader is a process of its own."""
    import h5py

    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        for name, column in zip("txyp", zip(*EVENTS, strict=True), strict=True):
            how = {"compression": "gzip"} if draw(st.booleans()) else {}
            file.create_dataset(f"events/{name}", data=np.array(column), **how)
        file["t_offset"] = draw(st.sampled_from([0, 2**63 - 1, -5, 7]))
        file["ms_to_idx"] = np.zeros(2, int)
    path.write_bytes(edited_bytes(draw, path.read_bytes()))
    _read(path)


def _edited_header(draw: Draw, content: bytes) -> bytes:
    """A numpy file whose header says something else, in as many characters."""
    length = int.from_bytes(content[8:10], "little")
    header = content[10 : 10 + length].rstrip()
    old = draw(st.sampled_from([part for part in HEADERS if part in header] or [header]))
    header = header.replace(old, draw(st.sampled_from(HEADERS)), 1)
    header = header.ljust(max(length, len(header)))
    return content[:8] + len(header).to_bytes(2, "little") + header + content[10 + length :]


def _edited_archive(draw: Draw, content: bytes) -> bytes:
    """An archive whose members were edited, renamed, left out or made anew."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name
        for name, member in members.items():
            kind = draw(st.sampled_from(["keep", "keep", "header", "bytes", "leave", "array"]))
            if kind == "header":
                member = _edited_header(draw, member)
            elif kind == "bytes":
                member = edited_bytes(draw, member)
            elif kind == "array":
                member = _array(draw)
            if kind != "leave":
                archive.writestr(draw(st.sampled_from([name, name, name, "../t.npy"])), member)
    return made.getvalue()


def _array(draw: Draw) -> bytes:
    values = draw(
        st.sampled_from(
            [
                np.arange(40) / 40,
                np.full(40, np.nan),
                np.full(40, 2**63, np.uint64),
                np.zeros(0),
                np.arange(40).astype(np.float16),
                np.full(40, -1),
                np.arange(40)[::-1],
                np.array("a"),
                np.arange(40) % 3 - 1,
                np.zeros((40, 2)),
                np.arange(40) * 10**17,
                np.int64(3),
            ]
        )
    )
    made = io.BytesIO()
    np.save(made, values)
    return made.getvalue()


TOML = [
    b"\xef\xbb\xbf",
    b"\0",
    b"\xff",
    b"a." * 5000,
    b"9" * 5000,
    b"[" * 2000,
    b"x = {" * 500,
    b'"""',
    b"'fuzz_canary:called'",
    b"[[data]]",
    b"[model.name]",
    b"= 1979-05-27T07:32:00Z\n",
    b"name = 'os'",
    b"1e400",
    b"inf",
    b"nan",
    b"-0",
    b"0x" + b"f" * 40,
    b'"\\u202e\\u001b"',
]
SETTINGS = [
    "model.name=fuzz_canary:called",
    "model.options.a=1",
    "a=",
    "=",
    ".",
    "data..x=1",
    "seed=-1",
    "train.epochs=" + "9" * 5000,
    "seed=" + "[" * 2000,
    "a." * 2000 + "b=1",
    "name=\x1b[2J",
    "data.name=digits-events",
    "ticket=1",
    "data.root='~nosuchuser'",
]


@functools.cache
def recipe_texts() -> tuple[bytes, ...]:
    """The shipped recipes and one of a custom network."""
    own = b"name = 'own'\n[data]\nname = 'digits'\n[model]\nname = 'fuzz_canary:called'\n"
    shipped = [path.read_bytes() for _, path in sorted(packaged_recipes().items())]
    return (*shipped, own + b"[model.options]\nwidth = 3\n[neuron]\nname = 'custom'\n")


def recipes(draw: Draw, folder: Path) -> None:
    """A recipe's text or tables, with and without ``--set``; one that is taken is written again."""
    text = draw(st.sampled_from(recipe_texts()))
    path = folder / "a.toml"
    path.write_bytes(text)
    if draw(st.booleans()):
        with contextlib.suppress(TypeError, ValueError, AttributeError, RecursionError):
            text = tomli_w.dumps(edited_tree(draw, read_tables(path))).encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(TOML)) + text[at:]
    if draw(st.booleans()):
        text = edited_bytes(draw, text)
    path.write_bytes(text)
    settings = draw(st.lists(st.sampled_from(SETTINGS), max_size=2))
    recipe = None
    with limited("load_recipe"):
        recipe = load_recipe(path, settings)
    if recipe is not None:
        with limited("to_toml"):
            path.write_text(to_toml(recipe))
            assert load_recipe(path).hash == recipe.hash


@functools.cache
def run_folders() -> tuple[Path, ...]:
    """Run folders, finished and not, of a ladder and not, each with a checkpoint."""
    where = Path(tempfile.mkdtemp(prefix="spiketicket-fuzz-"))
    made = helper("report/conftest.py").maker(where)
    kinds = {"whole": {}, "ladder": {"ladder": True}, "begun": {"finished": False}}
    return tuple(made(name=name, seeds=1, **kind) for name, kind in kinds.items())


def _damaged_run(draw: Draw, folder: Path) -> Path:
    """A copy of a run folder with one to three of its files edited."""
    run = folder / "run"
    shutil.copytree(draw(st.sampled_from(run_folders())), run)
    files = sorted(path for path in run.rglob("*") if path.suffix not in ("", ".ticket"))
    for path in draw(st.lists(st.sampled_from(files), min_size=1, max_size=3, unique=True)):
        path.write_bytes(_edited_file(draw, path))
    return run


def _edited_file(draw: Draw, path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix in (".npy", ".npz"):
        kinds = {".npy": [_edited_header, edited_bytes], ".npz": [_edited_archive, edited_bytes]}
        return draw(st.sampled_from(kinds[path.suffix]))(draw, content)
    if path.suffix == ".toml" or draw(st.sampled_from([False, False, True])):
        return edited_bytes(draw, content)
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in content.splitlines()]
        return "".join(f"{json_text(row)}\n" for row in edited_tree(draw, rows)).encode()
    return json_text(edited_tree(draw, json.loads(content))).encode()


def shown_runs(draw: Draw, folder: Path) -> None:
    """``show`` of a run folder."""
    printed(_damaged_run(draw, folder), None)


def reported_runs(draw: Draw, folder: Path) -> None:
    """The report's page and figures of a run folder."""
    run = _damaged_run(draw, folder)
    with limited("write_report", None):
        write_report([run], folder / "report.html", folder / "figures")


def checkpoints(draw: Draw, folder: Path) -> None:
    """A checkpoint with any content under a right digest, or with damaged bytes."""
    import torch

    from spiketicket.training import checkpoint

    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    path = folder / "checkpoint.pt"
    checkpoint.save(
        path,
        "key",
        checkpoint.Progress(),
        model=model,
        optimizer=optimizer,
        best=model.state_dict(),
    )
    payload = path.read_bytes()[32:]
    if draw(st.booleans()):
        content = torch.load(io.BytesIO(payload), weights_only=True)
        made = io.BytesIO()
        torch.save(edited_tree(draw, dict(content)), made)
        payload = made.getvalue()
    else:
        payload = edited_bytes(draw, payload)
    path.write_bytes(hashlib.sha256(payload).digest() + payload)
    with limited("checkpoint.load"):
        checkpoint.load(path, "key", model, optimizer)
