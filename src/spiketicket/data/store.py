"""Finding the official files of a dataset below a folder, and reading them with their md5."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from pathlib import Path

from spiketicket.data.types import DataFile, DatasetInfo, FileCheck
from spiketicket.errors import UserError, argument
from spiketicket.machine.bounded import max_memory, open_regular

ROOT_VARIABLE = "SPIKETICKET_DATA"
_CHUNK = 1 << 20


def data_root(root: str, name: str) -> Path:
    """The folder with the data: ``root``, or the one SPIKETICKET_DATA names when it is empty.

    Raises UserError when neither is given; ``name`` is the dataset's, for the message.
    """
    chosen = root or os.environ.get(ROOT_VARIABLE, "")
    if not chosen:
        raise UserError(
            f"no folder to look for {name} in",
            where="data.root",
            remedy=f"Set data.root ({argument('root')}), or the variable {ROOT_VARIABLE}",
        )
    try:
        return Path(chosen).expanduser()
    except RuntimeError as error:
        what = "names a home folder that is not there"
        raise UserError(what, where="data.root", value=chosen) from error


def find(entry: DataFile, folder: Path) -> Path | None:
    """Where the file lies in the folder, packed or not, or None."""
    names = (entry.name, entry.name + ".gz") if entry.gzip else (entry.name,)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def candidates(info: DatasetInfo, root: Path) -> tuple[Path, ...]:
    """Where a dataset's files may lie: its folder below ``root``, or ``root`` itself."""
    return (*(root / name for name in info.folders), root)


def locate(info: DatasetInfo, root: Path) -> Path:
    """The first candidate folder that holds any of the dataset's files; else the first of all."""
    places = candidates(info, root)
    for place in places:
        if any(find(entry, place) for entry in info.files):
            return place
    return places[0]


def require(info: DatasetInfo, root: str) -> Path:
    """The folder that holds every file of the dataset.

    Raises:
        UserError: names the folders looked in, the missing files and the command that gets them.
    """
    base = data_root(root, info.name)
    folder = locate(info, base)
    missing = [entry.name for entry in info.files if find(entry, folder) is None]
    if not missing:
        return folder
    some = len(missing) < len(info.files)
    looked = [folder] if some else list(candidates(info, base))
    raise UserError(
        f"{info.name}: missing {', '.join(missing)}; looked in {', '.join(map(str, looked))}",
        remedy=(
            f"Get them with `spiketicket data get {info.name} --root DIR`; then set data.root "
            f"({argument('root')}) or the variable {ROOT_VARIABLE} to DIR"
        ),
    )


def read(info: DatasetInfo, name: str, folder: Path) -> tuple[bytes, Path]:
    """The unpacked content of the official file ``name``, and the file it came from.

    Raises:
        UserError: the file is missing, cannot be read, or is not the official one.
    """
    entry = next(entry for entry in info.files if entry.name == name)
    path = find(entry, folder)
    if path is None:
        raise UserError("is missing", where=str(folder / name))
    content = _content(entry, path)
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != entry.md5:
        raise UserError(
            f"is damaged or not the official file: its md5 is {found}, not {entry.md5}",
            where=str(path),
            remedy=f"Move it away and run `spiketicket data get {info.name} --root DIR`",
        )
    return content, path


def inspect(info: DatasetInfo, folder: Path) -> tuple[FileCheck, ...]:
    """Every official file of the dataset as it is found in the folder; raises nothing."""
    return tuple(_inspect(entry, folder) for entry in info.files)


def file_md5(path: Path) -> str:
    """The md5 of a file's bytes as they are; an OSError passes through."""
    digest = hashlib.md5(usedforsecurity=False)
    stream, _ = open_regular(path)
    with stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _inspect(entry: DataFile, folder: Path) -> FileCheck:
    path = find(entry, folder)
    if path is None:
        return FileCheck(
            name=entry.name, path=str(folder / entry.name), state="missing", expected_md5=entry.md5
        )
    try:
        content = _content(entry, path)
    except UserError:
        return FileCheck(name=entry.name, path=str(path), state="wrong", expected_md5=entry.md5)
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return FileCheck(
        name=entry.name,
        path=str(path),
        state="ok" if found == entry.md5 else "wrong",
        expected_md5=entry.md5,
        found_md5=found,
    )


def _content(entry: DataFile, path: Path) -> bytes:
    try:
        # One byte more than there should be shows an overlong file without reading it all.
        most = entry.size or max_memory()
        file, _ = open_regular(path)
        with file:
            if path.suffix != ".gz":
                return file.read(most + 1)
            with gzip.open(file) as stream:
                return stream.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"is not a whole gzip file: {error}", where=str(path)) from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
