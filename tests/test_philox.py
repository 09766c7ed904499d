"""Philox streams: published vectors, exact bytes, purity and distribution."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spiketicket.errors import UserError
from spiketicket.streams import Stream, _log, _normal_quantile, philox4x32

PREFIX_METHODS = ("bits", "uniform", "signs", "normal")

# Random123 1.14, tests/kat_vectors, philox4x32 with 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    (
        (0x00000000, 0x00000000, 0x00000000, 0x00000000),
        (0x00000000, 0x00000000),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]

# SHA-256 (first 16 hex digits) of 100,003 numbers of Stream(2024, "pin", -1), little endian.
# These must never change: a ticket's weights are rebuilt from them.
PINNED = {
    "bits": "4b1ce69b7b2a5717",
    "uniform": "88526bdcc90a095d",
    "signs": "2ac882a439c5fa8b",
    "normal": "bdcc9803f9c265c1",
    "permutation": "73e58d26fa7fb88d",
    "integers": "603f6fb27e65b32d",
}


def draw(stream: Stream, method: str, n: int) -> np.ndarray:
    return stream.integers(n, 1_000_003) if method == "integers" else getattr(stream, method)(n)


@pytest.mark.parametrize("n", [0, 1, 4, 63])
def test_rows_are_those_of_the_children(n):
    stream, ids = Stream(7, "rows", 3), np.array([5, 0, 2**40, 5])
    expected = [stream.child(int(i)).uniform(n) for i in ids]
    rows = stream.uniform_rows(ids, n)
    assert rows.dtype == np.float32
    assert np.array_equal(rows, np.stack(expected))
    assert stream.uniform_rows(ids[:0], n).shape == (0, n)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_random123_vectors(counter, key, expected):
    column = np.array(counter, np.uint32)[:, None]
    assert tuple(int(word) for word in philox4x32(column, key)[:, 0]) == expected


def test_every_column_is_encrypted_on_its_own():
    counters = np.array([answer[0] for answer in KNOWN_ANSWERS], np.uint32).T
    together = philox4x32(counters, (5, 6))
    for i in range(3):
        assert np.array_equal(together[:, i : i + 1], philox4x32(counters[:, i : i + 1], (5, 6)))


@pytest.mark.parametrize("method", PINNED)
def test_bytes_never_change(method):
    values = draw(Stream(2024, "pin", -1), method, 100_003)
    little = values.astype(values.dtype.newbyteorder("<"))
    assert hashlib.sha256(little.tobytes()).hexdigest()[:16] == PINNED[method]


def test_counter_is_block_then_path_hash():
    path = hashlib.blake2s(b"s1:wi2:12s4:bits", digest_size=8).digest()
    upper = np.frombuffer(path, "<u4")
    key = (0x89ABCDEF, 0x01234567)
    expected = [
        philox4x32(np.array([[block], [0], [upper[0]], [upper[1]]], np.uint32), key)[:, 0]
        for block in range(3)
    ]
    words = Stream(0x0123456789ABCDEF, "w", 12).bits(12)
    assert np.array_equal(words, np.concatenate(expected))


@pytest.mark.parametrize(
    ("method", "dtype"),
    [
        ("bits", np.uint32),
        ("uniform", np.float32),
        ("signs", np.int8),
        ("normal", np.float32),
        ("permutation", np.int64),
        ("integers", np.int64),
    ],
)
@pytest.mark.parametrize("n", [0, 1, 3, 4, 33])
def test_dtype_and_shape(method, dtype, n):
    values = draw(Stream(1), method, n)
    assert values.dtype == dtype
    assert values.shape == (n,)


@settings(deadline=None)
@given(st.sampled_from([*PREFIX_METHODS, "integers"]), st.integers(0, 40_000), st.data())
def test_a_shorter_draw_is_a_prefix(method, n, data):
    m = data.draw(st.integers(0, n))
    stream = Stream(3, "prefix")
    assert np.array_equal(draw(stream, method, n)[:m], draw(stream, method, m))


def test_calls_are_pure_and_the_caller_owns_the_array():
    stream = Stream(4)
    for method in PINNED:
        first = draw(stream, method, 9000)
        kept = first.copy()
        first[:] = 0
        assert np.array_equal(draw(stream, method, 9000), kept), method


def test_paths_seeds_and_methods_are_independent():
    streams = [
        Stream(0),
        Stream(1),
        Stream(1 << 32),
        Stream((1 << 64) - 1),
        Stream(0, 1),
        Stream(0, "1"),
        Stream(0, -1),
        Stream(0, "ab"),
        Stream(0, "a", "b"),
        Stream(0, "a").child("c"),
        Stream(0, ""),
        Stream(0, "", ""),
        Stream(0, "bits"),
    ]
    first = {tuple(stream.bits(4).tolist()) for stream in streams}
    assert len(first) == len(streams)
    signs, normals = Stream(0).signs(10_000), Stream(0).normal(10_000)
    assert abs(float(np.mean(signs * normals))) < 0.05


def test_child_is_the_longer_path():
    assert np.array_equal(Stream(5, "a").child(2, "b").bits(8), Stream(5, "a", 2, "b").bits(8))
    assert repr(Stream(5, "a").child(2)) == "Stream(5, 'a', 2)"


def test_numpy_integers_name_the_same_stream():
    assert np.array_equal(Stream(np.uint64(5), np.int32(3)).bits(4), Stream(5, 3).bits(4))


def test_uniform_is_24_bits_in_the_unit_interval():
    values = Stream(6).uniform(200_000)
    assert values.min() >= 0
    assert values.max() < 1
    scaled = values.astype(np.float64) * 2**24
    assert np.array_equal(scaled, np.floor(scaled))
    assert stats.kstest(values, "uniform").pvalue > 0.001


def test_signs_are_fair_and_unrelated_to_their_neighbours():
    signs = Stream(7).signs(1_000_000).astype(np.int64)
    assert set(np.unique(signs)) == {-1, 1}
    assert abs(signs.mean()) < 0.004
    for lag in (1, 2, 8, 32, 128):
        assert abs(np.mean(signs[:-lag] * signs[lag:])) < 0.004


@pytest.mark.parametrize("high", [1, 2, 10, 1000, 1 << 31, 1 << 32])
def test_integers_cover_their_range_evenly(high):
    values = Stream(8, high).integers(100_000, high)
    assert values.min() >= 0
    assert values.max() < high
    bins = min(high, 10)
    counts = np.bincount(values * bins // high, minlength=bins)
    assert bins == 1 or stats.chisquare(counts).pvalue > 0.001


def test_integers_are_the_high_half_of_the_exact_product():
    words = Stream(9)._words("integers", 20).astype(object)
    keys = [int(words[2 * i]) | int(words[2 * i + 1]) << 32 for i in range(10)]
    for high in (3, 0xFFFFFFFF, 1 << 32):
        assert Stream(9).integers(10, high).tolist() == [(key * high) >> 64 for key in keys]


def test_normal_quantile_agrees_with_scipy():
    edge = np.arange(3000)
    words = np.concatenate(
        (edge, 2**31 - 1500 + edge, 2**32 - 1 - edge, np.linspace(0, 2**32 - 1, 100_001))
    )
    q = (np.floor(words) - (2.0**31 - 0.5)) * 2.0**-32
    expected = -np.copysign(stats.norm.ppf(0.5 - np.abs(q)), q)
    expected = np.copysign(np.abs(expected), q)
    assert np.allclose(_normal_quantile(q), expected, rtol=1e-12, atol=0)


def test_normal_is_the_quantile_of_its_words():
    words = Stream(10)._words("normal", 50_000).astype(np.float64)
    expected = stats.norm.ppf((words + 0.5) / 2**32)
    assert np.allclose(Stream(10).normal(50_000), expected, rtol=1e-6, atol=0)


def test_normal_is_normal():
    values = Stream(11).normal(1_000_000).astype(np.float64)
    assert stats.kstest(values, "norm").pvalue > 0.001
    assert abs(np.mean(values[:-1] * values[1:])) < 0.005


def test_logarithm_is_accurate_to_the_last_bits():
    x = np.concatenate(
        (np.linspace(2.0**-33, 0.075, 100_000), [0.5, 0.70710678, 0.70710679, 0.999])
    )
    assert np.allclose(_log(x), np.log(x), rtol=1e-15, atol=0)


def test_permutation_holds_every_number_once():
    order = Stream(12).permutation(5000)
    assert np.array_equal(np.sort(order), np.arange(5000))
    assert np.sum(order == np.arange(5000)) < 10
    firsts = [int(Stream(12, i).permutation(4)[0]) for i in range(4000)]
    assert stats.chisquare(np.bincount(firsts)).pvalue > 0.001


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Stream(-1), "seed must be a whole number from 0 to 18446744073709551615 (got -1)"),
        (lambda: Stream(1 << 64), "seed must be"),
        (lambda: Stream(1.5), "seed must be"),
        (lambda: Stream(0, 1.5), "a stream's path holds whole numbers and strings (got 1.5)"),
        (lambda: Stream(0, None), "path"),
        (lambda: Stream(0).bits(-1), "n must be a whole number"),
        (lambda: Stream(0).normal(2.0), "n must be a whole number"),
        (lambda: Stream(0).signs(1 << 60), "n must be a whole number"),
        (lambda: Stream(0).integers(1, 0), "high must be a whole number from 1 to 4294967296"),
        (lambda: Stream(0).integers(1, (1 << 32) + 1), "high must be"),
    ],
)
def test_bad_arguments_are_named(call, text):
    with pytest.raises(UserError) as error:
        call()
    assert text in str(error.value)
