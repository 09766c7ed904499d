"""Numpy files that hold something else, promise too much, or would run code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.events import read_events


def error(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_events(path)
    return str(caught.value)


def save(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 5)), "must be an array [N, 4] of x, y, polarity and milliseconds"),
        (np.zeros(4), "must be an array [N, 4]"),
        (np.float64(1), "must be an array of events"),
        (np.zeros((0, 4)), "holds no event"),
        (np.array([[1, 2, 0, np.nan]]), "a.npy: t: must be finite and within"),
        (np.array([[1, 2, 0, np.inf]]), "a.npy: t: must be finite and within"),
        (np.array([[1, 2, 0, 1e300]]), "a.npy: t: must be finite and within"),
        (np.array([[np.nan, 2, 0, 1]]), "a.npy: x: must be whole numbers from 0 to 65535"),
        (np.array([[1, 2.5, 0, 1]]), "a.npy: y: must be whole numbers from 0 to 65535 (got 2.5)"),
        (np.array([[-1, 2, 0, 1]]), "a.npy: x: must be whole numbers from 0 to 65535 (got -1)"),
        (np.array([[65536, 2, 0, 1]]), "a.npy: x: must be whole numbers from 0 to 65535"),
        (np.array([[1, 2, 2, 1]]), "a.npy: p: must be 0 and 1, or -1 and 1 (got 2)"),
        (np.array([["a"] * 4]), "must hold numbers"),
        (np.array([[None] * 4]), "must hold numbers"),
        (np.zeros(2, [("t", "i8"), ("x", "i8")]), "must have the fields t, x, y and p"),
        (np.zeros(2, [("t", "i8", 3), ("x", "i8"), ("y", "i8"), ("p", "i8")]), "must hold numbers"),
    ],
)
def test_npy_of_other_things(tmp_path: Path, array: Any, message: str) -> None:
    assert message in error(tmp_path / "a.npy", save(array))


def test_npy_that_promises_too_much_allocates_nothing(tmp_path: Path) -> None:
    content = save(np.zeros((1, 4)))
    huge = content.replace(b"(1, 4), }        ", b"(10000000000, 4)}")
    assert len(huge) == len(content)
    (tmp_path / "a.npy").write_bytes(huge)
    assert "1 of 10000000000 rows are there" in read_events(tmp_path / "a.npy").notes[0]
    fortran = content.replace(b"False", b"True ").replace(b"(1, 4)", b"(9, 4)")
    assert "is cut off: 288 bytes are expected" in error(tmp_path / "a.npy", fortran)


def test_npz_of_other_things(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, t=[1], x=[1], y=[1])
    assert "must hold the arrays t, x, y and p (got ['t', 'x', 'y'])" in error(path)
    np.savez(path, t=[1, 2], x=[1], y=[1], p=[1])
    assert "t, x, y and p must have one length" in error(path)
    np.savez(path, t=[[1]], x=[1], y=[1], p=[1])
    assert "t must be an array [N]" in error(path)
    np.savez(path, t=np.array([{}]), x=[1], y=[1], p=[1])
    assert "a.npz: t: must hold numbers" in error(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name in "txyp":
            archive.writestr(f"{name}.npy", save(np.zeros(3)))
    assert "is packed in a way that numpy does not write" in error(path)


@pytest.mark.parametrize("packed", [True, False])
def test_npz_with_a_flipped_bit(tmp_path: Path, encode: Any, packed: bool) -> None:
    content = bytearray(encode.npz([(i, i % 7, 3, 1) for i in range(500)], packed=packed))
    content[400 if packed else 1000] ^= 4
    assert "a.npz: is not a whole .npz file: " in error(tmp_path / "a.npz", bytes(content))


def test_npz_arrays_of_another_size_than_they_say(tmp_path: Path) -> None:
    for wrong in (save(np.zeros(3)) + b"more", save(np.zeros(3))[:-8]):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            for name in "txyp":
                archive.writestr(f"{name}.npy", wrong if name == "p" else save(np.zeros(3)))
        assert "the array p has another size than it says" in error(tmp_path / "a.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return pytest.fail, ("unpickled",)

    assert "must hold numbers" in error(tmp_path / "a.npy", save(np.array([Trap()], object)))
