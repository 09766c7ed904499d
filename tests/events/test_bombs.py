"""Files that ask for far more memory than they have bytes, and files that are none."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.data import check_dataset, make_config
from spiketicket.data.download import _Bar
from spiketicket.errors import UserError
from spiketicket.events import read_events, read_spans
from spiketicket.events.frames import FrameConfig, to_frames

pytestmark = pytest.mark.slow


MIB = 1 << 20


class Peak:
    """Bytes that were allocated at most at one time."""

    def __enter__(self) -> Peak:
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKETICKET_MAX_MEMORY", "1M")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A million events in a packed file of a few kilobytes."""
    t = np.arange(1_000_000) // 1000
    zeros = np.zeros(len(t), np.int64)
    np.savez_compressed(tmp_path / "a.npz", t=t, x=zeros, y=zeros, p=t % 2)
    return tmp_path / "a.npz"


@pytest.mark.usefixtures("small")
def test_an_archive_of_more_events_than_fit_is_not_unpacked(many: Path) -> None:
    with Peak() as peak, pytest.raises(UserError) as caught:
        read_events(many)
    assert "its events need 13000000 bytes of memory, and 1048576 may be used" in str(caught.value)
    assert "SPIKETICKET_MAX_MEMORY" in str(caught.value)
    assert peak.bytes < 2 * MIB
    # Those of a span fit.
    assert len(read_spans(many, [(0, 10)])[0]) == 10_000


def test_an_archive_takes_13_bytes_an_event_and_little_else(many: Path) -> None:
    read_events(many)
    with Peak() as peak:
        assert len(read_events(many)) == 1_000_000
    assert peak.bytes < 13 * 1_000_000 + 6 * MIB


def test_an_archive_with_a_huge_table_of_contents(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(12_000):
            archive.writestr(f"{number:0100}", b"")
    with Peak() as peak, pytest.raises(UserError, match="table of contents is too large"):
        read_events(path)
    assert peak.bytes < 4 * MIB


def test_an_array_of_huge_rows(tmp_path: Path) -> None:
    array = np.zeros(1, np.dtype({"names": list("txyp"), "formats": ["i8"] * 4, "itemsize": 10**8}))
    head = np.lib.format.header_data_from_array_1_0(array)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        file.truncate(10**9)
    with Peak() as peak, pytest.raises(UserError, match="must be an array of events"):
        read_events(tmp_path / "a.npy")
    assert peak.bytes < MIB


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "name", [*["bin5", "dat", "aedat2", "aedat3", "npy_fields", "evt2", "evt21", "evt3", "es"]]
)
def test_every_format_keeps_to_the_memory(tmp_path: Path, encode: Any, name: str) -> None:
    suffix, encoder = encode.formats[name]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoder([(i, i % 7, 3, i % 2) for i in range(100_000)]))
    with Peak() as peak, pytest.raises(UserError, match=r"its events need .* may be used"):
        read_events(path, sensor=(128, 128))
    assert peak.bytes < 6 * MIB
    assert len(read_spans(path, [(500, 1000)], sensor=(128, 128))[0]) == 500


def test_frames_of_a_sensor_that_a_file_claims(tmp_path: Path) -> None:
    head = b"% Version 2\n% Width 65535\n% Height 65535\n\x0c\x08"
    (tmp_path / "a.dat").write_bytes(head + bytes(8) + b"\x09" + bytes(6) + b"\x10")
    events = read_events(tmp_path / "a.dat")
    for config in (FrameConfig(), FrameConfig(height=4, width=4, hot_pixel=2.0)):
        with Peak() as peak, pytest.raises(UserError, match=r"its frames need .* may be used"):
            to_frames(events, config)
        assert peak.bytes < MIB


@pytest.mark.parametrize(("suffix", "mark"), [(".aedat", b"#!AER-DAT2.0\r\n"), (".dat", b"%\n")])
def test_a_header_without_end(tmp_path: Path, suffix: str, mark: bytes) -> None:
    (tmp_path / f"a{suffix}").write_bytes(mark + (mark[:1] + b"\n") * MIB)
    with pytest.raises(UserError, match="has a header of more than 1048576 bytes"):
        read_events(tmp_path / f"a{suffix}")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells no size of memory")
def test_a_reader_apart_is_bound(tmp_path: Path, encode: Any) -> None:
    program = (
        "import sys; sys.argv = ['', '', '20000000']\n"
        "from spiketicket.events import _worker as worker\n"
        "worker.limit_memory(20_000_000)\n"
        "try: bytearray(100_000_000)\n"
        "except MemoryError: print('bound')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "bound\n", done.stderr
    path = tmp_path / "a.aedat4"
    path.write_bytes(encode.aedat4([(i, 1, 2, i % 2) for i in range(150_000)], packet=150_000))
    command = [
        sys.executable,
        "-m",
        "spiketicket.events._worker",
        "aedat4",
        str(path),
        "100000",
        "{}",
    ]
    done_bytes = subprocess.run(command, capture_output=True, check=False).stdout
    assert done_bytes[:4] != (0).to_bytes(4, "little")
    assert len(done_bytes) < 150_000 * 13


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.parametrize(
    ("name", "dataset"), [("9.bin", "event_folder"), ("9.png", "image_folder")]
)
def test_a_named_pipe_in_a_class_folder_is_no_sample(
    tmp_path: Path, name: str, dataset: str
) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for pipe in (name, f"8{name}"):
            os.mkfifo(tmp_path / label / pipe)
    report = check_dataset(make_config(dataset, root=str(tmp_path), test_fraction=0.5))
    assert f"{name}: is not a file" in report.problem + str(report.survey)
    assert not report.ok


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_official_files_of_any_length_are_read_no_further_than_they_can_be(
    tmp_path: Path, name: str
) -> None:
    from spiketicket.recipe import registry

    info = registry.load("data", name).INFO
    for entry in info.files:
        with (tmp_path / entry.name).open("wb") as file:
            file.truncate(10**10)
    with Peak() as peak:
        report = check_dataset(make_config(name, root=str(tmp_path)))
    assert {entry.state for entry in report.files} == {"wrong"}
    # MNIST's own largest file has 47 MB.
    assert peak.bytes < (3 * MIB if name == "cifar10" else 100 * MIB)


def test_a_download_is_no_longer_than_the_file_can_be() -> None:
    bar = _Bar("a", None, 100)
    bar.update(100)
    with pytest.raises(OSError, match="sends more than the 100 bytes"):
        bar.update(1)
    bar = _Bar("a", None, 100)
    bar.total = 101
    with pytest.raises(OSError, match="sends more than"):
        bar.update(1)
