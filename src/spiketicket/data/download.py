"""Getting the official files: only when asked for, checked, and never over a file of the user's.

pooch downloads, checks the md5 and unpacks, in a temporary folder beside the files; what is whole
is then moved into place. A file that is already there and is not the official one stays as it is,
and is an error.
"""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

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
        with _writing(folder), TemporaryDirectory(dir=folder, prefix=".") as room:
            if info.archive:
                _from_archive(
                    info,
                    info.archive,
                    (base, folder),
                    room=Path(room),
                    absent=absent,
                    progress=progress,
                )
            else:
                for entry in absent:
                    _one_file(entry, folder, Path(room), progress)
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


def _install(path: Path, target: Path) -> None:
    # pooch's files are private to their owner; a copy is as readable as the umask lets it be.
    copy = path.with_name(f"{path.name}.copy")
    shutil.copyfile(path, copy)
    copy.replace(target)


def _one_file(entry: DataFile, folder: Path, room: Path, progress: Progress | None) -> None:
    target = folder / (entry.name + ".gz" if entry.gzip else entry.name)
    most = (entry.size or _MOST) + _CHUNK
    path = _download(
        entry.urls, entry.download_md5, target, room=room, progress=progress, most=most
    )
    _install(path, target)


def _from_archive(
    info: DatasetInfo,
    archive: Archive,
    places: tuple[Path, Path],
    *,
    room: Path,
    absent: tuple[DataFile, ...],
    progress: Progress | None,
) -> None:
    base, folder = places
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
            return _unpack(own, info, folder, room, absent)
    target = folder / archive.name
    path = _download(archive.urls, archive.md5, target, room=room, progress=progress, most=_MOST)
    return _unpack(path, info, folder, room, absent)


def _download(
    urls: tuple[str, ...],
    md5: str,
    target: Path,
    *,
    room: Path,
    progress: Progress | None,
    most: int,
) -> Path:
    """The file in ``room`` that one of the ``urls`` gives, of at most ``most`` bytes.

    It has the name of ``target``, which is for messages.
    """
    # Imported here because it takes long and few commands need it.
    import pooch

    pooch.get_logger().setLevel("WARNING")
    problems = []
    for url in urls:
        bar = _Bar(target.name, progress, most)
        # A server that packs the file once more for the journey would change its md5.
        headers = {"Accept-Encoding": "identity"}
        get = pooch.HTTPDownloader(bar, _CHUNK, timeout=_TIMEOUT_S, headers=headers)
        try:
            return Path(pooch.retrieve(url, f"md5:{md5}", target.name, room, downloader=get))
        except ValueError as error:
            problems.append(f"{url}: {error}")
        except OSError as error:
            # Errors of the network are OSErrors too, but only those of the disk have a number.
            if error.errno is not None:
                raise
            problems.append(f"{url}: {error}")
    raise UserError(
        f"could not be downloaded: {'; '.join(problems)}",
        where=target.name,
        remedy=f"Try again later, or put the file with md5 {md5} at {target} yourself",
    )


def _unpack(
    path: Path, info: DatasetInfo, folder: Path, room: Path, absent: tuple[DataFile, ...]
) -> None:
    """Write the absent files of a tar archive into the folder, each checked by md5."""
    import pooch

    members = _members(path, info)
    if lacking := [entry.name for entry in absent if entry.name not in members]:
        raise UserError(f"does not hold {', '.join(lacking)}", where=str(path))
    place = room / "unpacked"
    wanted = [members[entry.name] for entry in absent]
    pooch.Untar(members=wanted, extract_dir=str(place))(str(path), "download", None)
    for entry, member in zip(absent, wanted, strict=True):
        found = store.file_md5(place / member)
        if found != entry.md5:
            what = f"in the archive it has md5 {found}, not {entry.md5}"
            raise UserError(what, where=entry.name)
        _install(place / member, folder / entry.name)


def _members(path: Path, info: DatasetInfo) -> dict[str, str]:
    """Members of a tar archive by file name: those in a folder of the dataset.

    What pooch does not look at is refused here, of whichever member: links and devices, places
    outside, and more bytes than any official archive has.
    """
    found: dict[str, str] = {}
    size = 0
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                place = PurePosixPath(member.name)
                size += member.size
                is_inside = not place.is_absolute() and ".." not in place.parts
                if not (is_inside and (member.isreg() or member.isdir()) and size <= _MOST):
                    what = "is not unpacked: a member is a link, lies outside or is too large"
                    raise UserError(what, where=path.name, value=member.name)
                if member.isreg() and place.parent.name in info.folders:
                    found.setdefault(place.name, member.name)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"is not a whole tar.gz archive: {error}", where=str(path)) from error
    return found
