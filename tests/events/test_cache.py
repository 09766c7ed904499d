"""The cache: never an old entry, never half of one, and never in the way."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.events.cache import cache_folder, cache_key, cached, source_digest

PARTS = {"frames": {"steps": 4, "by": "time"}, "source": "abc"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPIKETICKET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Build:
    """Counts its calls."""

    def __init__(self, seed: int = 0) -> None:
        self.calls, self.seed = 0, seed

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        rng = np.random.default_rng(self.seed)
        return {
            "train/x": rng.integers(0, 256, (10, 4, 2, 5, 5)).astype(np.uint8),
            "y": np.arange(10),
            "none": np.zeros((0, 3), np.uint16),
            "one": np.array(1.5),
            "columns": np.asfortranarray(rng.random((3, 4))),
        }


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(
        np.array_equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_built_once_then_read() -> None:
    build = Build()
    first, second = cached(PARTS, build), cached(dict(reversed(PARTS.items())), build)
    assert build.calls == 1
    assert same(first.arrays, Build()())
    assert same(second.arrays, Build()())
    assert first.notes == second.notes == ()


def test_what_is_written_to_the_arrays_stays_here() -> None:
    cached(PARTS, Build()).arrays["y"][:] = 7
    assert same(cached(PARTS, Build(1)).arrays, Build()())


def leaves(value: Any) -> list[tuple[Any, ...]]:
    """Paths to all plain values of a nested thing."""
    if isinstance(value, dict):
        return [(name, *rest) for name, item in value.items() for rest in leaves(item)]
    return [()]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
NESTED = st.recursive(
    PLAIN.filter(lambda v: v not in (float("inf"), -float("inf"))),
    lambda inner: st.dictionaries(st.text(), inner, max_size=4),
)


@pytest.mark.slow
@settings(deadline=None)
@given(st.dictionaries(st.text(), NESTED, min_size=1, max_size=4), st.data())
def test_any_changed_parameter_is_another_key(parts: dict[str, Any], data: Any) -> None:
    key = cache_key(parts)
    assert cache_key(dict(reversed(parts.items()))) == key
    changed = json.loads(json.dumps(parts))
    path = data.draw(st.sampled_from(leaves(parts) or [()]))
    place = changed
    for name in path[:-1]:
        place = place[name]
    if path:
        place[path[-1]] = ["changed"]
    else:
        place["another"] = 1
    assert cache_key(changed) != key


def test_values_that_look_alike_differ() -> None:
    values: list[Any] = [1, 1.0, True, "1", None, "None", [1], [[1]], {}, [], "", 0, False]
    assert len({cache_key({"a": value}) for value in values}) == len(values)
    assert cache_key({"a": (1, 2)}) == cache_key({"a": [1, 2]})


def test_a_changed_parameter_never_reads_an_old_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    cached(PARTS, Build())
    other = Build(1)
    assert same(cached({**PARTS, "source": "abd"}, other).arrays, Build(1)())
    module = sys.modules[cached.__module__]
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    cached(PARTS, other)
    assert other.calls == 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": {1: 2}}, "cache key.a: must be made of"),
        ({"a": [0, {3}]}, "cache key.a[1]: must be made of"),
        ({"a": float("nan")}, "cache key.a: must be made of"),
        ({"a": np.int64(3)}, "cache key.a: must be made of"),
        ({"a": Path("x")}, "cache key.a: must be made of"),
    ],
)
def test_what_cannot_be_a_key(parts: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        cached(parts, Build())
    assert str(caught.value).startswith(message)


def test_objects_are_refused() -> None:
    with pytest.raises(UserError, match="cache: a: an array of Python objects"):
        cached(PARTS, lambda: {"a": np.array([{}])})


def test_what_the_build_raises_passes_through(folder: Path) -> None:
    def build() -> Any:
        raise OSError(errno.ENOENT, "no recording")

    with pytest.raises(OSError, match="no recording"):
        cached(PARTS, build)
    assert not contents(folder)
    assert same(cached(PARTS, Build()).arrays, Build()())


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_damage_is_noticed_and_built_again(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("damage")
        patch.setenv("SPIKETICKET_CACHE", str(folder))
        cached(PARTS, Build())
        whole = contents(folder)
        name = data.draw(st.sampled_from(sorted(whole)))
        kind = data.draw(st.sampled_from(["flip", "cut", "gone", "longer"]))
        content, path = bytearray(whole[name]), folder / name
        at = data.draw(st.integers(0, len(content) - 1))
        if kind == "gone":
            path.unlink()
        else:
            if kind == "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            path.write_bytes(
                content[:at] if kind == "cut" else bytes(content) + b" " * (kind == "longer")
            )
        build = Build()
        result = cached(PARTS, build)
        assert same(result.arrays, Build()())
        if build.calls:
            assert result.notes == (
                f"the cache {folder / cache_key(PARTS)} was damaged: built again",
            )
            assert contents(folder) == whole
        else:
            # A blank that JSON does not mind, or another way to write the same.
            assert name.endswith("manifest.json")
        again = Build()
        cached(PARTS, again)
        assert not again.calls


def test_an_entry_under_another_name_is_not_trusted(folder: Path) -> None:
    cached(PARTS, Build(1))
    other = {**PARTS, "source": "other"}
    shutil.copytree(folder / cache_key(PARTS), folder / cache_key(other))
    assert same(cached(other, Build()).arrays, Build()())


def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPIKETICKET_CACHE", str(tmp_path / "file" / "cache"))
    build = Build()
    result = cached(PARTS, build)
    assert build.calls == 1
    assert same(result.arrays, Build()())
    assert result.notes == (
        f"computed without a cache: {tmp_path}/file/cache cannot be used (Not a directory). "
        "Name another folder with SPIKETICKET_CACHE",
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_without_permission(folder: Path) -> None:
    cached(PARTS, Build())
    folder.chmod(0o500)
    try:
        assert cached(PARTS, Build(1)).notes == (), "reading needs no permission to write"
        assert "Permission denied" in cached({"a": 1}, Build()).notes[0]
    finally:
        folder.chmod(0o700)


def test_a_read_only_file_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    assert "Read-only file system" in cached(PARTS, Build()).notes[0]


FULL = """
import resource, numpy as np
from spiketicket.events.cache import cached
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
result = cached({"a": 1}, lambda: {"x": np.arange(1000)})
assert np.array_equal(result.arrays["x"], np.arange(1000))
print(result.notes[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource limits")
def test_a_full_disk(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("computed without a cache: ")
    assert "is the disk full?" in done.stdout
    assert not contents(folder), "and nothing is left"


def test_a_write_that_was_short_in_silence(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def short(path: Path, *_: Any, **__: Any) -> None:
        path.write_bytes(b"short")

    monkeypatch.setattr(np, "save", short)
    result = cached({"a": 1}, lambda: {"x": np.arange(1000)})
    assert "No space left on device" in result.notes[0]
    assert result.arrays["x"][-1] == 999
    assert not contents(folder)


SLOW_WRITE = """
import sys, time, numpy as np
from spiketicket.events.cache import cached
save = np.save
def slow_save(path, array, **options):
    save(path, array, **options)
    print("written", flush=True)
    time.sleep(60)
np.save = slow_save
cached({"a": 1}, lambda: {"x": np.arange(1000), "y": np.arange(3)})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("next_parts", [{"a": 1}, {"a": 2}])
def test_a_killed_build_leaves_nothing_that_is_read(folder: Path, next_parts: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW_WRITE], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"written\n"
        temporary = folder / f".{cache_key({'a': 1})}.tmp"
        assert (temporary / "0.npy").exists()
        # Another entry's build leaves the live one alone.
        cached({"a": 3}, Build())
        assert (temporary / "0.npy").exists()
        process.send_signal(signal.SIGKILL)
    assert not (folder / cache_key({"a": 1})).exists()
    build = Build()
    assert same(cached(next_parts, build).arrays, Build()())
    assert cached(next_parts, build).notes == ()
    assert build.calls == 1
    assert not list(folder.glob(".*.tmp")), "the next build removes what was left"


def race(folder: str, calls: str, start: Any) -> None:
    os.environ["SPIKETICKET_CACHE"] = folder

    def build() -> Any:
        with Path(calls).open("a") as file:
            file.write("called\n")
        time.sleep(0.5)
        return Build()()

    start.wait()
    result = cached(PARTS, build)
    assert same(result.arrays, Build()())
    assert result.notes == ()


@pytest.mark.slow
def test_two_processes_build_one_entry(folder: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    arguments = (str(folder), str(tmp_path / "calls"), start)
    processes = [context.Process(target=race, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "calls").read_text() == "called\n", "the second waits and reads"
    alone = tmp_path / "alone"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKETICKET_CACHE", str(alone))
        cached(PARTS, Build())
    assert contents(folder) == contents(alone), "the bytes are a function of the content"


def test_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("SPIKETICKET_CACHE", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"
    monkeypatch.setenv("SPIKETICKET_CACHE", "")
    assert cache_folder().parts[-2:] == ("spiketicket", "frames")


def test_source_digest(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "deep").mkdir(parents=True)
    files = [root / "a.bin", root / "deep" / "b.bin"]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 3_000_000)
    first = source_digest(files, root)
    assert source_digest(files, root) == first
    assert source_digest(files[::-1], root) != first
    assert source_digest(files[:1], root) != first
    shutil.copytree(root, tmp_path / "moved")
    moved = [tmp_path / "moved" / file.relative_to(root) for file in files]
    assert source_digest(moved, tmp_path / "moved") == first, "where the data lies is no matter"
    files[0].rename(root / "c.bin")
    assert source_digest([root / "c.bin", files[1]], root) != first
    with pytest.raises(UserError, match=r"a\.bin: cannot be read: No such file"):
        source_digest(files, root)
    with pytest.raises(UserError, match="is not below"):
        source_digest([root / "c.bin"], root / "deep")
