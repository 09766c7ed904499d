"""Intervals and tests against published numbers, scipy, and brute force."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from spiketicket.errors import UserError
from spiketicket.verdict import intervals as s

PERCENT = st.integers(0, 10_000).map(lambda hundredths: hundredths / 100)


def test_mean_and_sd_by_hand():
    assert s.mean([1, 2, 6]) == 3
    assert s.sd([1, 2, 6]) == math.sqrt(7)
    assert s.sd([0.1, 0.1, 0.1]) == 0


def test_t_interval_by_hand():
    # t with 2 degrees of freedom at 97.5 % is 4.302653 (any printed table)
    estimate = s.t_interval([96.0, 97.0, 98.0], 0.95)
    assert estimate.value == 97
    assert estimate.high - 97 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 97 - estimate.low == pytest.approx(estimate.high - 97)


@settings(deadline=None)
@given(st.lists(PERCENT, min_size=2, max_size=9, unique=True), st.floats(0.5, 0.999))
def test_t_interval_is_scipys(values, confidence):
    spread = stats.sem(values)
    expected = stats.t.interval(confidence, len(values) - 1, np.mean(values), spread)
    estimate = s.t_interval(values, confidence)
    assert (estimate.low, estimate.high) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_wilson_published():
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3
    for successes, total, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        estimate = s.wilson_interval(successes, total, 0.95)
        assert estimate.value == successes / total
        assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)


@settings(deadline=None)
@given(st.integers(1, 5000), st.data(), st.floats(0.5, 0.999))
def test_wilson_is_scipys_and_stays_within_bounds(total, data, confidence):
    successes = data.draw(st.integers(0, total))
    estimate = s.wilson_interval(successes, total, confidence)
    expected = stats.binomtest(successes, total).proportion_ci(confidence, "wilson")
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    mirrored = s.wilson_interval(total - successes, total, confidence)
    assert mirrored.low == pytest.approx(1 - estimate.high, abs=1e-12)


def cells(both: int, a_only: int, b_only: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = [True] * (both + a_only) + [False] * (b_only + neither)
    b = [True] * both + [False] * a_only + [True] * b_only + [False] * neither
    return np.array(a), np.array(b)


def test_paired_half_width_by_hand():
    # Agresti and Min: cells + 1/2, n = 102; b = 8, c = 3
    n, b, c = 102, 8.5, 3.5
    wald = math.sqrt((b + c) - (b - c) ** 2 / n) / n
    half = s.paired_sample_half_width(*cells(70, 8, 3, 19), 0.95)
    assert half == pytest.approx(1.959964 * wald, rel=1e-6)


def test_paired_half_width_is_never_zero_and_at_most_one():
    same = np.ones(10, bool)
    assert s.paired_sample_half_width(same, same, 0.95) == pytest.approx(1.959964 / 12, rel=1e-6)
    assert 0 < s.paired_sample_half_width([True], [False], 0.95) <= 1
    assert s.paired_sample_half_width([True], [True], 0.999) == 1


def test_seeds_on_the_same_samples_do_not_count_as_more_samples():
    a, b = cells(70, 8, 3, 19)
    one = s.paired_sample_half_width(a, b, 0.95)
    copies = s.paired_sample_half_width(np.stack([a] * 5), np.stack([b] * 5), 0.95)
    assert copies == pytest.approx(one)
    rng = np.random.default_rng(0)
    independent = s.paired_sample_half_width(
        np.stack([rng.permutation(a) for _ in range(5)]), np.stack([b] * 5), 0.95
    )
    assert independent < s.paired_sample_half_width(rng.permutation(a), b, 0.95)


def test_paired_half_width_covers_what_it_promises():
    # exact coverage over all tables of 60 samples of which 10 % and 14 % differ
    n, p_better, p_worse, covered = 60, 0.10, 0.14, 0.0
    truth = p_better - p_worse
    for better, worse in itertools.product(range(31), repeat=2):
        if better + worse > n:
            continue
        chance = stats.multinomial.pmf(
            [better, worse, n - better - worse], n, [p_better, p_worse, 1 - p_better - p_worse]
        )
        half = s.paired_sample_half_width(*cells(n - better - worse, better, worse, 0), 0.95)
        covered += chance * (abs((better - worse) / n - truth) <= half)
    assert 0.93 < covered < 0.98


@pytest.mark.parametrize(
    "call",
    [
        lambda: s.mean([]),
        lambda: s.mean([math.nan]),
        lambda: s.sd([1.0]),
        lambda: s.t_interval([1.0], 0.95),
        lambda: s.t_interval([1.0, math.inf], 0.95),
        lambda: s.t_interval([1.0, 2.0], 1.0),
        lambda: s.t_interval([1.0, 2.0], 0.0),
        lambda: s.t_interval([1.0, 2.0], math.nan),
        lambda: s.wilson_interval(3, 2, 0.95),
        lambda: s.wilson_interval(-1, 2, 0.95),
        lambda: s.wilson_interval(0, 0, 0.95),
        lambda: s.paired_sample_half_width([True], [True, False], 0.95),
        lambda: s.paired_sample_half_width([1], [0], 0.95),
        lambda: s.paired_sample_half_width(np.zeros(0, bool), np.zeros(0, bool), 0.95),
        lambda: s.paired_sample_half_width([0.5], [True], 0.95),
        lambda: s.paired_sample_half_width([True], [True], 95),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(UserError):
        call()


def test_needs_no_torch():
    code = "import sys, spiketicket.verdict.rules; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "False"
