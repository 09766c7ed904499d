"""The masks' code against one written bit by bit, its size against the entropy, and damage."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.streams import Stream
from spiketicket.ticket.codec import TicketError
from spiketicket.ticket.mask_code import MAX_ENTRIES_A_BYTE, decode_mask, encode_mask


def random_mask(size, density, seed=0):
    return Stream(seed, "mask", size).uniform(size) < density


def as_bytes(bits):
    """Bits of one part, most significant first, filled to a byte."""
    text = "".join(map(str, bits))
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def written(mask, code, k):
    """The code of a mask as its module describes it, a bit at a time."""
    mask = [bool(x) for x in mask]
    if code == 0:
        out = [0, k, *as_bytes([int(x) for x in mask])]
    else:
        gaps, run = [], 0
        for entry in mask:
            if entry == (code == 1):
                gaps.append(run)
                run = 0
            else:
                run += 1
        low = [gap >> j & 1 for j in range(k) for gap in gaps]
        high = [bit for gap in gaps for bit in [0] * (gap >> k) + [1]]
        out = [code, k, *as_bytes(low), *as_bytes(high)]
    out += [0] * (math.ceil(len(mask) / MAX_ENTRIES_A_BYTE) - len(out))
    return bytes(out)


def shortest(mask):
    """The code that is to be chosen, by trying all."""
    kept = int(np.count_nonzero(mask))
    code, rarer = (1, mask) if 2 * kept <= len(mask) else (2, ~mask)
    gaps = np.diff(np.flatnonzero(rarer), prepend=-1) - 1
    bits = {k: len(gaps) * (1 + k) + sum(int(g) >> k for g in gaps) for k in range(1, 34)}
    k = min(bits, key=lambda k: (bits[k], k))
    high = bits[k] - k * len(gaps)
    if math.ceil(k * len(gaps) / 8) + math.ceil(high / 8) >= math.ceil(len(mask) / 8):
        return 0, 0
    return code, k


def decoded(coded, mask):
    return decode_mask(coded, mask.size, int(np.count_nonzero(mask)), "mask/l")


def check(mask):
    coded = encode_mask(mask)
    assert coded.dtype == np.uint8
    assert bytes(coded) == written(mask, *shortest(mask))
    back = decoded(coded, mask)
    assert back.dtype == np.bool_
    assert np.array_equal(back, mask)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(
    runs=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=30),
    invert=st.booleans(),
)
def test_any_mask_is_written_as_described(runs, invert):
    mask = np.concatenate([np.array([True] * kept + [False] * gap) for gap, kept in runs])
    check(mask ^ invert)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 127, 128, 129, 300, 4097])
@pytest.mark.parametrize("density", [0.0, 0.004, 0.1, 0.5, 0.9, 1.0])
def test_random_masks_are_written_as_described(size, density):
    check(random_mask(size, density))


def test_a_mask_of_any_shape_is_taken_in_c_order():
    mask = random_mask(2000, 0.1)
    assert np.array_equal(encode_mask(mask.reshape(10, 40, 5)), encode_mask(mask))


@pytest.mark.parametrize("size", [32767, 32768, 32769, 65536, 200_003])
@pytest.mark.parametrize("density", [0.0, 1e-4, 0.03, 0.3, 0.5, 0.7, 0.999, 1.0])
def test_long_masks_come_back(size, density):
    mask = random_mask(size, density)
    assert np.array_equal(decoded(encode_mask(mask), mask), mask)


def test_clustered_masks_and_wide_gaps_come_back():
    size = 300_000
    for places in (
        [0],
        [size - 1],
        [0, size - 1],
        [32767, 32768, 65535, 65536],
        range(40_000),
        range(100_000, 140_000),
        range(0, size, 7),
    ):
        mask = np.zeros(size, bool)
        mask[list(places)] = True
        for each in (mask, ~mask):
            assert np.array_equal(decoded(encode_mask(each), each), each)


@pytest.mark.parametrize("size", [10_000, 36_864, 589_824])
@pytest.mark.parametrize("zeros", [0.5, 0.8, 0.9, 0.95])
def test_a_random_mask_is_within_three_percent_of_its_entropy(size, zeros):
    for density in (1 - zeros, zeros):
        mask = random_mask(size, density)
        p = np.count_nonzero(mask) / size
        entropy = -size * (p * math.log2(p) + (1 - p) * math.log2(1 - p)) / 8
        assert entropy * 0.98 < encode_mask(mask).size < entropy * 1.03


def test_damage_is_an_error_or_another_mask():
    for density in (0.03, 0.1, 0.5, 0.93):
        mask = random_mask(700, density)
        coded = encode_mask(mask)
        for length in range(coded.size):
            with pytest.raises(TicketError, match="mask/l: "):
                decoded(coded[:length], mask)
        for extra in (0, 1, 255):
            with pytest.raises(TicketError):
                decoded(np.append(coded, np.uint8(extra)), mask)
        for position in range(8 * coded.size):
            broken = coded.copy()
            broken[position // 8] ^= 1 << position % 8
            try:
                found = decoded(broken, mask)
            except TicketError:
                continue
            assert not np.array_equal(found, mask), position


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    code=st.integers(0, 3),
    k=st.integers(0, 40),
    body=st.binary(max_size=12),
    size=st.integers(1, 60),
    kept=st.integers(0, 60),
)
def test_a_mask_that_can_be_read_has_exactly_one_writing(code, k, body, size, kept):
    coded = np.frombuffer(bytes([code, k]) + body, np.uint8)
    try:
        mask = decode_mask(coded, size, min(kept, size), "mask/l")
    except TicketError:
        return
    assert bytes(coded) == written(mask, code, k)
    if code:
        assert np.count_nonzero(mask) == min(kept, size)


@pytest.mark.parametrize("kept", [0, 1, 5000, 1 << 20])
@pytest.mark.parametrize("k", [1, 8, 9, 17, 20, 21])
@pytest.mark.parametrize("byte", [0, 1, 0x55, 255])
def test_forged_bytes_cost_no_more_memory_than_the_mask(kept, k, byte):
    size = 1 << 20
    coded = np.full(size // 64, byte, np.uint8)
    coded[:2] = 1, k
    tracemalloc.start()
    try:
        with pytest.raises(TicketError):
            decode_mask(coded, size + 1, kept + 1, "mask/l")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * size + (2 << 20)


def test_a_shape_far_larger_than_its_bytes_is_refused_at_once():
    coded = encode_mask(np.zeros(1 << 16, bool))
    assert coded.size == 512
    assert not decode_mask(coded, 1 << 16, 0, "m").any()
    for size in ((1 << 16) + 1, 1 << 40, 1 << 320):
        with pytest.raises(TicketError, match=r"m: must be at least \d+ bytes for"):
            decode_mask(coded, size, 0, "m")


def test_gaps_that_lead_past_the_end_are_refused():
    for mask, size in ((np.arange(3000) == 2999, 2999), (np.arange(90_000) % 9 == 0, 80_000)):
        coded = encode_mask(mask)
        with pytest.raises(TicketError, match=f"m: leads past its {size} weights"):
            decode_mask(coded, size, int(mask.sum()), "m")
