"""Downloads, from a server on this machine's loopback address only."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import io
import os
import shutil
import stat
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from spiketicket.data import (
    cifar10,
    console_progress,
    get_dataset,
    load_dataset,
    make_config,
    mnist,
)
from spiketicket.data.types import Archive
from spiketicket.errors import UserError

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"


class Server:
    """Gives what is in ``files``, notes what was asked for, and can break off half way."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.break_off = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path[1:])
                content = server.files.get(self.path[1:])
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if server.break_off else content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    yield made
    made.close()


@pytest.fixture
def cifar(server: Server, adopt: Any, cifar10_files: Any, formats: Any) -> dict[str, bytes]:
    """The official archive is a small one that the server has; returns the files in it."""
    members = {f"{FOLDER}/{name}": content for name, content in cifar10_files.files.items()}
    members |= {f"{FOLDER}/readme.html": b"not wanted"}
    publish(server, adopt, cifar10_files.files, formats.tar_gz(members), formats)
    return cifar10_files.files


def publish(server: Server, adopt: Any, files: Any, content: bytes, formats: Any) -> None:
    server.files[ARCHIVE] = content
    archive = Archive(ARCHIVE, formats.md5(content), (server.url + ARCHIVE,))
    adopt(cifar10, files, archive=archive)


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"folder"
        for path in root.rglob("*")
    }


def get_error(root: Path, name: str = "cifar10") -> str:
    with pytest.raises(UserError) as caught:
        get_dataset(name, str(root))
    return str(caught.value)


def test_gets_and_unpacks_and_loads(tmp_path: Path, cifar: dict[str, bytes]) -> None:
    report = get_dataset("cifar10", str(tmp_path / "new"))
    assert report.folder == str(tmp_path / "new" / FOLDER)
    assert set(report.written) == set(cifar)
    assert report.present == ()
    files = {f"{FOLDER}/{name}": content for name, content in cifar.items()}
    assert tree(tmp_path / "new") == {FOLDER: b"folder"} | files
    assert len(load_dataset(make_config("cifar10", root=str(tmp_path / "new"))).train) == 20


def test_files_are_as_readable_as_any_other(tmp_path: Path, cifar: dict[str, bytes]) -> None:
    get_dataset("cifar10", str(tmp_path))
    (tmp_path / "plain").write_bytes(b"")
    modes = {stat.S_IMODE((tmp_path / FOLDER / name).stat().st_mode) for name in cifar}
    assert modes == {stat.S_IMODE((tmp_path / "plain").stat().st_mode)}


def test_the_variable_names_the_folder(
    tmp_path: Path, cifar: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKETICKET_DATA", str(tmp_path))
    assert get_dataset("cifar10").folder == str(tmp_path / FOLDER)


@pytest.mark.usefixtures("no_data_variable", "cifar")
def test_no_folder_given(server: Server) -> None:
    with pytest.raises(UserError, match="no folder to look for cifar10 in"):
        get_dataset("cifar10")
    assert server.asked == []


def test_a_second_time_asks_for_nothing(
    tmp_path: Path, server: Server, cifar: dict[str, bytes]
) -> None:
    get_dataset("cifar10", str(tmp_path))
    report = get_dataset("cifar10", str(tmp_path / FOLDER))
    assert (report.folder, report.written) == (str(tmp_path / FOLDER), ())
    assert set(report.present) == set(cifar)
    assert server.asked == [ARCHIVE]


def test_a_root_with_the_folders_name_is_the_folder(
    tmp_path: Path, cifar: dict[str, bytes]
) -> None:
    get_dataset("cifar10", str(tmp_path / FOLDER))
    assert set(tree(tmp_path)) == {FOLDER, *(f"{FOLDER}/{name}" for name in cifar)}


def test_only_missing_files_are_written(
    tmp_path: Path, cifar: dict[str, bytes], formats: Any
) -> None:
    kept = {name: content for name, content in cifar.items() if name != "test_batch"}
    folder = formats.put(tmp_path / FOLDER, kept | {"mine.txt": b"mine"})
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert get_dataset("cifar10", str(tmp_path)).written == ("test_batch",)
    assert (folder / "test_batch").read_bytes() == cifar["test_batch"]
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before


def test_a_differing_file_of_the_user_is_kept(
    tmp_path: Path, server: Server, cifar: dict[str, bytes], formats: Any
) -> None:
    formats.put(tmp_path / FOLDER, {"data_batch_1": b"mine", "batches.meta": b"mine too"})
    before = tree(tmp_path)
    text = get_error(tmp_path)
    assert str(tmp_path / FOLDER / "data_batch_1") in text
    assert str(tmp_path / FOLDER / "batches.meta") in text
    assert "kept as it is. Move it away" in text
    assert tree(tmp_path) == before
    assert server.asked == []


@pytest.mark.parametrize("place", ["", FOLDER])
def test_an_archive_that_is_there_is_used_and_stays(
    tmp_path: Path, server: Server, cifar: dict[str, bytes], formats: Any, place: str
) -> None:
    formats.put(tmp_path / place, {ARCHIVE: server.files[ARCHIVE]})
    get_dataset("cifar10", str(tmp_path))
    assert server.asked == []
    assert (tmp_path / place / ARCHIVE).is_file()
    assert (tmp_path / FOLDER / "data_batch_5").read_bytes() == cifar["data_batch_5"]


@pytest.mark.usefixtures("cifar")
def test_a_differing_archive_of_the_user_is_kept(
    tmp_path: Path, server: Server, formats: Any
) -> None:
    formats.put(tmp_path, {ARCHIVE: b"mine"})
    assert f"{tmp_path / ARCHIVE}: is not the official archive, and kept" in get_error(tmp_path)
    assert tree(tmp_path) == {ARCHIVE: b"mine"}
    assert server.asked == []


@pytest.mark.usefixtures("cifar")
def test_a_damaged_download_leaves_nothing(tmp_path: Path, server: Server) -> None:
    content = bytearray(server.files[ARCHIVE])
    content[len(content) // 2] ^= 1
    server.files[ARCHIVE] = bytes(content)
    text = get_error(tmp_path)
    assert "does not match the known hash" in text
    assert cifar10.INFO.archive is not None
    assert cifar10.INFO.archive.md5 in text
    assert f"at {tmp_path / FOLDER / ARCHIVE} yourself" in text
    assert tree(tmp_path) == {}


@pytest.mark.usefixtures("cifar")
def test_a_broken_off_download_leaves_nothing(tmp_path: Path, server: Server) -> None:
    server.break_off = True
    assert "could not be downloaded" in get_error(tmp_path)
    assert tree(tmp_path) == {}
    server.break_off = False
    get_dataset("cifar10", str(tmp_path))


@pytest.mark.usefixtures("cifar")
def test_not_found(tmp_path: Path, server: Server) -> None:
    server.files.clear()
    assert "404" in get_error(tmp_path)
    assert tree(tmp_path) == {}


@pytest.mark.usefixtures("cifar")
def test_no_server(tmp_path: Path, server: Server) -> None:
    server.close()
    assert "could not be downloaded" in get_error(tmp_path)
    assert tree(tmp_path) == {}


def test_the_second_address_is_tried(
    tmp_path: Path, server: Server, cifar: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = cifar10.INFO.archive
    assert archive is not None
    urls = (f"{server.url}gone", *archive.urls)
    info = dataclasses.replace(cifar10.INFO, archive=dataclasses.replace(archive, urls=urls))
    monkeypatch.setattr(cifar10, "INFO", info)
    assert set(get_dataset("cifar10", str(tmp_path)).written) == set(cifar)
    assert server.asked == ["gone", ARCHIVE]


@pytest.mark.usefixtures("cifar")
def test_control_c_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get_dataset("cifar10", str(tmp_path), interrupt)
    assert tree(tmp_path) == {}


@pytest.mark.usefixtures("cifar")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def full(name: str, done: int, total: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match="cannot write the files: No space left"):
        get_dataset("cifar10", str(tmp_path), full)
    assert tree(tmp_path) == {}


@pytest.mark.usefixtures("cifar")
def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    assert "cannot write the files" in get_error(tmp_path / "file")


@pytest.mark.usefixtures("cifar")
def test_progress_counts_up_to_the_size(tmp_path: Path, server: Server) -> None:
    calls: list[tuple[str, int, int]] = []
    get_dataset("cifar10", str(tmp_path), lambda *call: calls.append(call))
    size = len(server.files[ARCHIVE])
    assert {(name, total) for name, _, total in calls} == {(ARCHIVE, size)}
    done = [count for _, count, _ in calls]
    assert done == sorted(done)
    assert done[-1] == size


@pytest.mark.usefixtures("cifar")
def test_the_console_bar_is_silent_without_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with console_progress() as progress:
        get_dataset("cifar10", str(tmp_path), progress)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dot", ["", "./"])
def test_only_the_datasets_own_members_are_written(
    tmp_path: Path, server: Server, adopt: Any, cifar10_files: Any, formats: Any, dot: str
) -> None:
    files = cifar10_files.files
    members = {
        "data_batch_1": b"without its folder",
        "other/data_batch_1": b"in another folder",
        f"{FOLDER}/data_batch_1.txt": b"another name",
    }
    members |= {f"{dot}{FOLDER}/{name}": content for name, content in files.items()}
    publish(server, adopt, files, formats.tar_gz(members), formats)
    get_dataset("cifar10", str(tmp_path))
    found = {name for name, content in tree(tmp_path).items() if content != b"folder"}
    assert found == {f"{FOLDER}/{name}" for name in files}


def member(name: str, **settings: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in settings.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        member("../outside"),
        member("/absolute"),
        member(f"{FOLDER}/../../up"),
        member(f"{FOLDER}/data_batch_1", type=tarfile.SYMTYPE, linkname="../../secret"),
        member(f"{FOLDER}/data_batch_1x", type=tarfile.LNKTYPE, linkname="../../secret"),
        member(f"{FOLDER}/data_batch_1x", type=tarfile.FIFOTYPE),
        member(f"{FOLDER}/data_batch_1x", size=1 << 40),
    ],
    ids=["up", "absolute", "down and up", "symbolic link", "hard link", "pipe", "large"],
)
def test_a_hostile_archive_is_not_unpacked(
    tmp_path: Path,
    server: Server,
    adopt: Any,
    cifar10_files: Any,
    formats: Any,
    hostile: tarfile.TarInfo,
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(cifar10_files.files["data_batch_1"])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(hostile)
        for name, content in cifar10_files.files.items():
            archive.addfile(member(f"{FOLDER}/{name}", size=len(content)), io.BytesIO(content))
    publish(server, adopt, cifar10_files.files, buffer.getvalue(), formats)
    before = tree(tmp_path)
    what = "is not unpacked: a member is a link, lies outside or is too large"
    assert f"{ARCHIVE}: {what} (got '{hostile.name}')" in get_error(tmp_path / "root")
    shutil.rmtree(tmp_path / "root")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive at all", gzip.compress(b"no tar" * 200)],
    ids=["empty", "no archive", "gzip of no archive"],
)
def test_an_official_archive_that_is_none(
    tmp_path: Path, server: Server, adopt: Any, cifar10_files: Any, formats: Any, content: bytes
) -> None:
    publish(server, adopt, cifar10_files.files, content, formats)
    text = get_error(tmp_path)
    assert "is not a whole tar.gz archive" in text or "does not hold data_batch_1" in text
    assert tree(tmp_path) == {}


def test_a_wrong_file_in_the_archive_is_not_installed(
    tmp_path: Path, server: Server, adopt: Any, cifar10_files: Any, formats: Any
) -> None:
    files = cifar10_files.files
    members = {f"{FOLDER}/{name}": content for name, content in files.items()}
    members[f"{FOLDER}/data_batch_1"] = b"wrong"
    publish(server, adopt, files, formats.tar_gz(members), formats)
    assert "data_batch_1: in the archive it has md5" in get_error(tmp_path)
    assert tree(tmp_path) == {}


@pytest.fixture
def digits_of_mnist(
    server: Server, adopt: Any, mnist_files: Any, formats: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """Four packed files on the server; returns them packed."""
    info = adopt(mnist, mnist_files.files)
    packed = {f"{name}.gz": gzip.compress(data) for name, data in mnist_files.files.items()}
    server.files.update(packed)
    entries = tuple(
        dataclasses.replace(
            entry,
            urls=(f"{server.url}{entry.name}.gz",),
            download_md5=formats.md5(packed[f"{entry.name}.gz"]),
        )
        for entry in info.files
    )
    monkeypatch.setattr(mnist, "INFO", dataclasses.replace(info, files=entries))
    return packed


def test_gets_packed_files_one_by_one(
    tmp_path: Path, server: Server, digits_of_mnist: dict[str, bytes], mnist_files: Any
) -> None:
    name = "t10k-images-idx3-ubyte"
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / name).write_bytes(mnist_files.files[name])
    report = get_dataset("mnist", str(tmp_path))
    assert report.present == (name,)
    expected = {f"{file}.gz" for file in mnist_files.files} - {f"{name}.gz"}
    assert {path.name for path in (tmp_path / "mnist").iterdir()} == expected | {name}
    assert set(server.asked) == expected
    assert len(load_dataset(make_config("mnist", root=str(tmp_path))).train) == 20


def test_another_datasets_files_in_root_are_left_alone(
    tmp_path: Path, digits_of_mnist: dict[str, bytes], formats: Any
) -> None:
    mine = {"train-images-idx3-ubyte.gz": gzip.compress(b"fashion")}
    formats.put(tmp_path, mine)
    report = get_dataset("mnist", str(tmp_path))
    assert report.folder == str(tmp_path / "mnist")
    assert (tmp_path / "train-images-idx3-ubyte.gz").read_bytes() == next(iter(mine.values()))
    assert len(load_dataset(make_config("mnist", root=str(tmp_path))).train) == 20


def test_what_is_whole_stays_when_a_later_file_fails(
    tmp_path: Path, server: Server, digits_of_mnist: dict[str, bytes]
) -> None:
    del server.files["t10k-labels-idx1-ubyte.gz"]
    assert "t10k-labels-idx1-ubyte.gz: could not be downloaded" in get_error(tmp_path, "mnist")
    assert {path.name for path in (tmp_path / "mnist").iterdir()} == set(server.files)


@pytest.mark.parametrize("name", ["digits", "image_folder"])
def test_nothing_to_download(tmp_path: Path, name: str) -> None:
    assert f"{name} cannot be downloaded" in get_error(tmp_path, name)
