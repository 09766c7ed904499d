"""Getting the official files: only when asked for, checked, and never over a file of the user's.

Every file is written under a temporary name in its folder, checked by md5 and then renamed. A
file that is already there and is not the official one stays as it is, and is an error.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from spiketicket.data import store
from spiketicket.data.types import Archive, DataFile, DatasetInfo, Progress
from spiketicket.errors import UserError

_CHUNK = 1 << 16
_TIMEOUT_S = 30
_MOST = 1 << 30
"""Bytes of a download whose size is not known: five times the largest archive."""


@dataclass(frozen=True)
class GetReport:
    """The folder, the files that were written into it and those that were already there."""

    folder: str
    written: tuple[str, ...]
    present: tuple[str, ...]


class _Bar:
    """What pooch calls during a download: counts bytes and tells the callback."""

    def __init__(self, label: str, progress: Progress | None, most: int) -> None:
        self.total = 0
        self._label, self._progress, self._done, self._most = label, progress, 0, most

    def update(self, count: int) -> None:
        # pooch counts whole chunks, and the last one is shorter.
        self._done = min(self._done + count, self.total) if self.total else self._done + count
        if max(self._done, self.total) > self._most:
            raise OSError(f"sends more than the {self._most} bytes that the file can have")
        if self._progress is not None:
            self._progress(self._label, self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def fetch(info: DatasetInfo, root: str, progress: Progress | None = None) -> GetReport:
    """Download what is missing of a dataset into its folder below ``root``.

    An archive that already lies in ``root`` or in the folder is used instead of a download, and
    stays; a downloaded one is removed once it is unpacked.

    Raises:
        UserError: no folder given; nothing to download; a file there is not the official one (it
            is kept); the download fails, is damaged or cannot be written. Nothing is left behind
            but whole, official files.
    """
    if not info.downloads:
        raise UserError(f"{info.name} cannot be downloaded", remedy=info.obtain)
    base = store.data_root(root, info.name)
    folder = _destination(info, base)
    checks = store.inspect(info, folder)
    if wrong := [check.path for check in checks if check.state == "wrong"]:
        raise UserError(
            f"{', '.join(wrong)}: damaged or not the official file, and kept as it is",
            remedy="Move it away and run the command again",
        )
    absent = tuple(
        entry for entry, check in zip(info.files, checks, strict=True) if check.state == "missing"
    )
    if absent:
        with _writing(folder):
            if info.archive:
                _from_archive(info, info.archive, base, folder, absent, progress)
            else:
                for entry in absent:
                    _one_file(entry, folder, progress)
    present = tuple(check.name for check in checks if check.state == "ok")
    return GetReport(str(folder), tuple(entry.name for entry in absent), present)


def _destination(info: DatasetInfo, base: Path) -> Path:
    """Where the dataset's files lie or will.

    ``base`` itself only if it has the folder's name or holds an official file already: its files
    of the same names may be another dataset's.
    """
    if base.name in info.folders:
        return base
    folder = store.locate(info, base)
    if folder != base or any(check.state == "ok" for check in store.inspect(info, base)):
        return folder
    return base / info.folders[0]


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Makes the folder, tells write errors to the user, and leaves no empty folder behind."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write the files: {reason}", where=str(folder)) from error
    finally:
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A new temporary file beside ``target``; removed unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _install(temporary: Path, target: Path) -> None:
    # mkstemp's files are private to their owner; data is as readable as the umask lets it be.
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    temporary.replace(target)


def _one_file(entry: DataFile, folder: Path, progress: Progress | None) -> None:
    target = folder / (entry.name + ".gz" if entry.gzip else entry.name)
    with _temporary(target) as path:
        most = (entry.size or _MOST) + _CHUNK
        _download(entry.urls, path, entry.download_md5, target, progress, most)
        _install(path, target)


def _from_archive(
    info: DatasetInfo,
    archive: Archive,
    base: Path,
    folder: Path,
    absent: tuple[DataFile, ...],
    progress: Progress | None,
) -> None:
    for own in (base / archive.name, folder / archive.name):
        if own.is_file():
            found = store.file_md5(own)
            if found != archive.md5:
                raise UserError(
                    f"is not the official archive, and kept as it is: its md5 is {found}, "
                    f"not {archive.md5}",
                    where=str(own),
                    remedy="Move it away and run the command again",
                )
            return _unpack(own, info, folder, absent)
    target = folder / archive.name
    with _temporary(target) as path:
        _download(archive.urls, path, archive.md5, target, progress, _MOST)
        return _unpack(path, info, folder, absent)


def _download(
    urls: tuple[str, ...],
    path: Path,
    md5: str,
    target: Path,
    progress: Progress | None,
    most: int,
) -> None:
    """Write what one of the ``urls`` gives, at most ``most`` bytes of it, to ``path``.

    ``target`` is for messages.
    """
    # Imported here because it takes long and few commands need it.
    import pooch

    problems = []
    for url in urls:
        bar = _Bar(target.name, progress, most)
        # A server that packs the file once more for the journey would change its md5.
        headers = {"Accept-Encoding": "identity"}
        try:
            with _closing_responses() as hooks:
                get = pooch.HTTPDownloader(
                    bar, _CHUNK, timeout=_TIMEOUT_S, headers=headers, hooks=hooks
                )
                get(url, str(path), None)
        except OSError as error:
            # Errors of the network are OSErrors too, but only those of the disk have a number.
            if error.errno is not None:
                raise
            problems.append(f"{url}: {error}")
            continue
        found = store.file_md5(path)
        if found == md5:
            return
        problems.append(f"{url}: what came has md5 {found}, not {md5}, and was thrown away")
    raise UserError(
        f"could not be downloaded: {'; '.join(problems)}",
        where=target.name,
        remedy=f"Try again later, or put the file with md5 {md5} at {target} yourself",
    )


@contextmanager
def _closing_responses() -> Iterator[dict[str, Callable[..., None]]]:
    """Hooks for requests that close its connections; pooch leaves them open on an error."""
    with ExitStack() as opened:

        def keep(response: Any, *_: Any, **__: Any) -> None:
            opened.callback(response.close)

        yield {"response": keep}


def _unpack(path: Path, info: DatasetInfo, folder: Path, absent: tuple[DataFile, ...]) -> None:
    """Write the absent files of a tar archive into the folder, each checked by md5.

    Only members whose last two path parts are a folder and a file of the dataset are looked at,
    and where a file goes never depends on the archive.
    """
    wanted = {entry.name: entry for entry in absent}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts[-2:]
                known = len(parts) == 2 and parts[0] in info.folders and parts[1] in wanted
                if not known or not member.isreg():
                    continue
                _unpack_one(archive, member, wanted.pop(parts[1]), folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"is not a whole tar.gz archive: {error}", where=str(path)) from error
    if wanted:
        raise UserError(f"does not hold {', '.join(wanted)}", where=str(path))


def _unpack_one(
    archive: tarfile.TarFile, member: tarfile.TarInfo, entry: DataFile, folder: Path
) -> None:
    # None comes back only for members that are no regular files.
    source = cast("IO[bytes]", archive.extractfile(member))
    with _temporary(folder / entry.name) as path:
        with source, path.open("wb") as out:
            while chunk := source.read(_CHUNK):
                out.write(chunk)
        found = store.file_md5(path)
        if found != entry.md5:
            what = f"in the archive it has md5 {found}, not {entry.md5}"
            raise UserError(what, where=entry.name)
        _install(path, folder / entry.name)
