"""Holm's adjustment, p values from intervals, and what could have been found."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from spiketicket.verdict.intervals import detectable, holm, mean, t_half_width, tail_p


def test_holm_by_hand():
    # 0.01 x 4, 0.03 x 2 after 0.02 x 3, and 0.04 x 1 not below the one before
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("bound", [0.0, -1.0])
def test_p_is_students(bound):
    values = [0.4, 1.1, 0.8, 1.3]
    p = tail_p(mean(values) - bound, t_half_width(values, 0.95), 0.95, 3)
    assert p == pytest.approx(stats.ttest_1samp(values, bound).pvalue)


def test_p_of_the_normal_interval_and_of_none():
    assert tail_p(1.959964, 1.959964, 0.95, math.inf) == pytest.approx(0.05, abs=1e-6)
    assert tail_p(-1.0, 1.0, 0.95, math.inf) == 1.0
    assert (tail_p(1.0, 0.0, 0.95, 2), tail_p(-1.0, 0.0, 0.95, 2)) == (0.0, 1.0)


def test_detectable():
    assert detectable(1.959964, 0.95, math.inf) == pytest.approx(1.959964 + 0.841621, abs=1e-5)
    assert detectable(1.0, 0.95, 2, tests=10) > detectable(1.0, 0.95, 2) > 1.0
