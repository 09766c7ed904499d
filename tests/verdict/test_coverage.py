"""How often the interval holds the true difference, of simulated nets.

Net s of a method gets sample i right with probability sigmoid(mu + a_s + z_i + e_i): a_s is what
its seed gives it, z_i how easy the sample is for every method, e_i how easy for this one. All are
normal. The true difference is that of the methods over all seeds and all samples, by Gauss-Hermite
quadrature.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from spiketicket.verdict.rules import StageScores, compare

SETTINGS = {
    # mu of ticket and control, sd of seeds, of the samples for both, of the samples for each
    "small spread": ((2.5, 2.0), 0.05, 2.0, 0.5),
    "large spread": ((2.5, 2.0), 0.4, 2.0, 0.5),
    "samples of their own": ((2.5, 2.5), 0.1, 3.0, 2.0),
    "near 100 %": ((4.5, 4.5), 0.1, 0.0, 0.0),
}


def truth(mus, seeds, both, own):
    """The expected difference of two methods, in percentage points."""
    x, weight = np.polynomial.hermite_e.hermegauss(61)
    spread = np.sqrt(seeds**2 + both**2 + own**2)
    a, b = (special.expit(mu + spread * x) @ weight / weight.sum() for mu in mus)
    return 100 * (a - b)


def right(rng, mus, seeds, both, own, *, count, samples):
    """Which samples the nets of two methods get right, bool [count, samples] each."""
    easy = both * rng.standard_normal(samples)
    for mu in mus:
        level = mu + easy + own * rng.standard_normal(samples)
        p = special.expit(level + seeds * rng.standard_normal((count, 1)))
        yield rng.random((count, samples)) < p


def coverage(setting, count, samples, trials, seed=0):
    rng, expected, held = np.random.default_rng(seed), truth(*setting), 0
    for _ in range(trials):
        nets = right(rng, *setting, count=count, samples=samples)
        a, b = (StageScores(list(100 * r.mean(1)), list(r)) for r in nets)
        found = compare("control", a, b, 0.95)
        held += found.low <= expected <= found.high
    return held / trials


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize(("samples", "trials"), [(100, 2000), (360, 2000), (10_000, 300)])
@pytest.mark.parametrize("name", SETTINGS)
def test_from_two_seeds_on_it_covers_what_it_promises(name, samples, trials, count):
    least = 0.94 if trials > 1000 else 0.94 - 2 * np.sqrt(0.05 * 0.95 / trials)
    assert coverage(SETTINGS[name], count, samples, trials) >= least


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "samples", "expected"),
    [
        ("small spread", 360, 0.93),
        ("small spread", 10_000, 0.73),
        ("large spread", 360, 0.53),
        ("large spread", 10_000, 0.14),
        ("samples of their own", 360, 0.92),
        ("samples of their own", 10_000, 0.56),
        ("near 100 %", 360, 0.96),
    ],
)
def test_one_seed_covers_less_which_is_why_it_gives_no_verdict(name, samples, expected):
    trials = 1000 if samples < 1000 else 300
    assert coverage(SETTINGS[name], 1, samples, trials) == pytest.approx(expected, abs=0.06)
