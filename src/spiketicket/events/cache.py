"""Arrays that are built once and read again: framed data sets.

An entry is a folder named by its key, the sha256 of everything that it is a function of, so
that a changed parameter has another name and an old entry is never read for it:

    KEY/manifest.json   what the arrays are functions of, their names, and the files' sha256
    KEY/0.npy, ...      one file an array, without pickle
    .KEY.lock           held by the process that builds the entry
    .KEY.tmp/           a build that is not finished, or was killed: never read, removed by the next

Nothing is flushed to the disk: what a power failure damages, the digests show, and it is built
again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket._version import __version__
from spiketicket.errors import UserError
from spiketicket.machine import cores
from spiketicket.machine.bounded import open_regular, parse_json, read_regular
from spiketicket.machine.private import make_private, user_cache

FORMAT = 1
"""Version of the cache's layout; part of every key, as the package's version is."""

CACHE_VARIABLE = "SPIKETICKET_CACHE"

_NO_HOME = f"computed without a cache: no home folder. Name one with {CACHE_VARIABLE}"

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Cached:
    """The arrays, and what a user should know about the cache.

    Arrays from the cache are mapped from its files: memory is used for what is looked at, and
    what is written to them stays in this process.
    """

    arrays: Arrays
    notes: tuple[str, ...] = ()


def cached(parts: Mapping[str, object], build: Callable[[], Arrays]) -> Cached:
    """The arrays of the entry named by ``parts``, built where there is no sound one.

    ``parts`` says everything that the arrays are a function of, as :func:`cache_key` wants it:
    all parameters, and the source's :func:`source_digest`. ``build`` is called at most once; a
    second process that asks meanwhile waits and reads. A cache that cannot be read or written
    stops nothing: the arrays are then those just built, and ``notes`` says why.

    Raises:
        UserError: ``parts`` cannot be a key, or an array holds Python objects. What ``build``
            raises passes through.
    """
    key = cache_key(parts)
    folder = cache_folder()
    if folder is None:
        return Cached(_sound(build()), (_NO_HOME,))
    entry = folder / key
    if (arrays := _read(entry, key)) is not None:
        return Cached(arrays)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(entry))
        except (OSError, NotImplementedError) as error:
            return Cached(_sound(build()), (_unused(entry, error),))
        # Another process may have built it while this one waited.
        if (arrays := _read(entry, key)) is not None:
            return Cached(arrays)
        notes = (f"the cache {entry} was damaged: built again",) if entry.exists() else ()
        built = _sound(build())
        try:
            _write(entry, key, parts, built)
        except OSError as error:
            return Cached(built, (*notes, _unused(entry, error)))
        return Cached(_read(entry, key) or built, notes)


def cache_folder() -> Path | None:
    """The folder that SPIKETICKET_CACHE names, else ``frames`` in the user's cache folder; None
    where neither is.

    Raises:
        UserError: the variable names the home folder of a user that is not there.
    """
    named = os.environ.get(CACHE_VARIABLE, "")
    try:
        if named:
            return Path(named).expanduser()
    except RuntimeError as error:
        what = "names a home folder that is not there"
        raise UserError(what, where=CACHE_VARIABLE, value=named) from error
    own = user_cache()
    return None if own is None else own / "frames"


def cache_key(parts: Mapping[str, object]) -> str:
    """The name of an entry: sha256 of ``parts`` and the cache's format, 64 hex digits.

    ``parts`` is made of what JSON has: mappings with string keys (in any order), lists or tuples,
    strings, whole numbers, finite floats, booleans and None. 1, 1.0, True and "1" all differ.

    Raises:
        UserError: anything else is in it.
    """
    plain = _plain(parts, "cache key")
    # Another version of the readers, filters or framing may give other arrays.
    text = _canonical({"format": FORMAT, "version": __version__, "parts": plain})
    return hashlib.sha256(text).hexdigest()


def source_digest(files: Iterable[Path], root: Path) -> str:
    """sha256 over the files' names below ``root`` and contents, in the order given; 64 hex digits.

    Reads every byte, up to four files at a time. Another order is another digest, since it is
    another data set.

    Raises:
        UserError: a file cannot be read, or is not below ``root``.
    """
    paths = list(files)
    with ThreadPoolExecutor(max_workers=min(4, cores.cores())) as pool:
        digests = list(pool.map(_source_sha256, paths))
    total = hashlib.sha256()
    for path, digest in zip(paths, digests, strict=True):
        if not path.is_relative_to(root):
            raise UserError(f"is not below {root}", where=str(path))
        total.update(_canonical([path.relative_to(root).as_posix(), digest]))
    return total.hexdigest()


def _source_sha256(path: Path) -> str:
    try:
        return _sha256(path)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _sha256(path: Path) -> str:
    file, _ = open_regular(path)
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical(value: Any) -> bytes:
    """The one way to write a value as JSON."""
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


def _plain(value: object, where: str) -> Any:
    """The value with dicts and lists only, or UserError naming the place of what JSON lacks."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(item, f"{where}.{name}") for name, item in value.items()}
    what = "must be made of strings, finite numbers, booleans, None, lists and mappings"
    raise UserError(what, where=where, value=value)


def _sound(arrays: Arrays) -> Arrays:
    for name, array in arrays.items():
        if array.dtype.hasobject:
            what = "an array of Python objects cannot be kept without pickle"
            raise UserError(what, where=f"cache: {name}", value=str(array.dtype))
    return arrays


@contextlib.contextmanager
def _locked(entry: Path) -> Iterator[None]:
    """Hold the entry for this process; the lock ends with the process, however it ends."""
    import filelock

    if os.environ.get(CACHE_VARIABLE):  # it may be meant for several people
        entry.parent.mkdir(parents=True, exist_ok=True)
    else:
        make_private(entry.parent)
    with filelock.FileLock(_beside(entry, "lock")):
        _remove_dead(entry)
        yield


def _beside(entry: Path, what: str) -> Path:
    return entry.with_name(f".{entry.name}.{what}")


def _remove_dead(entry: Path) -> None:
    """Remove what killed builds left, of this entry, whose lock is held, and of all others."""
    import filelock

    for left in entry.parent.glob(".*.tmp"):
        other = left.with_name(left.name[1 : -len(".tmp")])
        if other == entry:
            shutil.rmtree(left, ignore_errors=True)
            continue
        # A build that lives holds its lock.
        with (
            contextlib.suppress(OSError, filelock.Timeout),
            filelock.FileLock(_beside(other, "lock"), timeout=0),
        ):
            shutil.rmtree(left, ignore_errors=True)


def _write(entry: Path, key: str, parts: Mapping[str, object], arrays: Arrays) -> None:
    """Write all files into a temporary folder, then put it in place of what there is."""
    temporary = _beside(entry, "tmp")
    try:
        temporary.mkdir()
        files = []
        for index, (name, array) in enumerate(arrays.items()):
            path = temporary / f"{index}.npy"
            np.save(path, array, allow_pickle=False)
            if path.stat().st_size < array.nbytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            files.append({"name": name, "sha256": _sha256(path)})
        manifest = {"files": files, "format": FORMAT, "key": key, "parts": _plain(parts, "")}
        content = {"manifest": manifest, "sha256": hashlib.sha256(_canonical(manifest)).hexdigest()}
        text = json.dumps(content, indent=1, sort_keys=True)
        (temporary / "manifest.json").write_text(text, "utf-8")
        if entry.exists():
            shutil.rmtree(entry)
        temporary.rename(entry)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _read(entry: Path, key: str) -> Arrays | None:
    """The arrays of a sound entry; None where there is none, or any byte of it is not as written.

    A damaged file is not worth telling apart from a missing one here: both are built again.
    """
    try:
        content = parse_json(read_regular(entry / "manifest.json").decode())
        manifest = content["manifest"]
        if content["sha256"] != hashlib.sha256(_canonical(manifest)).hexdigest():
            return None
        if manifest["key"] != key:
            return None
        arrays = {}
        for index, file in enumerate(manifest["files"]):
            path = entry / f"{index}.npy"
            if _sha256(path) != file["sha256"]:
                return None
            arrays[file["name"]] = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
        return None
    return arrays


def _unused(entry: Path, error: Exception) -> str:
    # numpy's own message of a short write says how much was written and not why.
    why = getattr(error, "strerror", None) or f"is the disk full? {error}"
    return (
        f"computed without a cache: {entry.parent} cannot be used ({why}). "
        f"Name another folder with {CACHE_VARIABLE}"
    )
