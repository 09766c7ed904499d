"""The rules of agreement, on made-up rows with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from spiketicket.reproduce.claims import find_all
from spiketicket.reproduce.statement import agreement, sentences
from spiketicket.reproduce.study import Claim, Series, Study, Term


def study(*claims, metric="accuracy"):
    series = (Series(name="SNN"), Series(name="ANN"))
    return Study(
        name="s",
        title="t",
        place="Table 0",
        states="",
        series=series,
        stages=("ticket",),
        claims=claims,
        metric=metric,
    )


def claim(expect, margin=2.0, **rest):
    given = {"text": "c", "a": Term(stage="ticket"), "b": Term(stage="dense"), **rest}
    return Claim(expect=expect, margin=margin, **given)


# three seeds with differences m - 0.1, m, m + 0.1: half width 4.302653 * 0.1 / sqrt 3 = 0.2484
@pytest.mark.parametrize(
    ("expect", "difference", "decision"),
    [
        ("holds", -1.0, "shown"),  # -1.25 to -0.75
        ("holds", -1.9, "undecided"),  # -2.15 to -1.65
        ("holds", -2.3, "contrary"),  # -2.55 to -2.05
        ("falls", -2.3, "shown"),
        ("falls", -1.9, "undecided"),
        ("falls", -1.0, "contrary"),
        ("above", 0.3, "shown"),
        ("above", 0.2, "undecided"),
        ("above", -0.2, "undecided"),
        ("above", -0.3, "contrary"),
    ],
)
def test_differences(stage, row, expect, difference, decision):
    dense = (90.0, 90.0, 90.0)
    ticket = tuple(90 + difference + d for d in (-0.1, 0.0, 0.1))
    rows = [row(stage("ticket", *ticket), stage("dense", *dense))]
    (found,) = find_all(study(claim(expect)), rows)
    assert found.decision == decision
    assert found.value == pytest.approx(difference)
    assert found.low == pytest.approx(difference - 0.24841, abs=1e-4)


@pytest.mark.parametrize("expect", ["holds", "falls"])
def test_nets_that_learned_nothing_show_nothing(stage, row, expect):
    rows = [row(stage("ticket", 10.0, 11.0, 12.0), stage("dense", 10.1, 11.1, 12.2))]
    (found,) = find_all(study(claim(expect)), rows)
    assert found.decision == "undecided"
    assert "learned nothing" in found.numbers
    (found,) = find_all(study(claim(expect)), [row(*rows[0].stages.values(), constant=1.0)])
    assert found.decision != "undecided"


def test_above_asks_what_is_above_to_have_learned(stage, row):
    low = stage("dense", 1.0, 2.1, 3.2)
    rows = [row(stage("ticket", 9.0, 10.0, 11.0), low)]
    assert find_all(study(claim("above")), rows)[0].decision == "undecided"
    rows = [row(stage("ticket", 59.0, 60.0, 61.0), low)]
    assert find_all(study(claim("above")), rows)[0].decision == "shown"


def test_two_series_are_one_claim(stage, row):
    a, b = Term(stage="ticket", series="SNN"), Term(stage="ticket", series="ANN")
    rows = [
        row(stage("ticket", 90.0, 91.0, 92.0), series="SNN"),
        row(stage("ticket", 80.0, 81.1, 82.2), series="ANN"),
    ]
    (found,) = find_all(study(claim("above", a=a, b=b)), rows)
    assert (found.series, found.decision) == ("SNN", "shown")
    assert found.value == pytest.approx(9.9)


def test_pairs_are_of_the_same_value_of_the_axis(stage, row):
    rows = [
        row(stage("ticket", 80 + x, 81 + x, 82 + x), series=s, x=float(x))
        for s, xs in (("SNN", (2, 1)), ("ANN", (1, 2)))
        for x in xs
    ]
    a, b = Term(stage="ticket", series="SNN"), Term(stage="ticket", series="ANN")
    found = find_all(study(claim("holds", a=a, b=b)), rows)
    assert [f.x for f in found] == [1.0, 2.0]
    # equal seeds leave no interval of seeds, and there are no samples: nothing to decide with
    assert [f.value for f in found] == [None, None]


def test_first_and_last(stage, row):
    rows = [row(stage("ticket", 80 + x, 81.1 + x, 82 + 1.1 * x), x=float(x)) for x in (8, 1, 4)]
    gain = claim(
        "above",
        a=Term(stage="ticket", at="last"),
        b=Term(stage="ticket", at="first"),
        published=2.3,
        most=True,
        band=(0.0, 4.6),
    )
    (found,) = find_all(study(gain), rows)
    assert found.value == pytest.approx(7 + 0.7 / 3, abs=1e-6)
    assert found.decision == "other size"
    assert "the paper up to +2.30" in found.numbers


def curve(stage, row, values):
    spread = ((-0.1, 0.0, 0.1), (-0.1, 0.05, 0.1), (0.0, -0.1, 0.1), (0.1, 0.0, -0.1))
    return [
        row(stage("ticket", *(mean + d for d in spread[i % 4])), x=x)
        for i, (x, mean) in enumerate(values.items())
    ]


@pytest.mark.parametrize(
    ("values", "decision"),
    [
        ({20.0: 85.0, 50.0: 90.0, 80.0: 80.0}, "shown"),
        ({20.0: 90.0, 50.0: 90.02, 80.0: 80.0}, "undecided"),
        ({20.0: 92.0, 50.0: 90.0, 80.0: 80.0}, "contrary"),
        ({20.0: 85.0, 50.0: 90.0, 80.0: 95.0}, "contrary"),
    ],
)
def test_peak(stage, row, values, decision):
    peak = Claim(kind="peak", text="p", a=Term(stage="ticket"), near=50.0)
    (found,) = find_all(study(peak), curve(stage, row, values))
    assert found.decision == decision


@pytest.mark.parametrize(
    ("values", "decision"),
    [
        ({20.0: 90.0, 30.0: 89.5, 40.0: 80.0, 60.0: 70.0}, "shown"),
        ({20.0: 90.0, 30.0: 85.0, 40.0: 80.0, 60.0: 70.0}, "contrary"),
        ({20.0: 90.0, 30.0: 89.5, 40.0: 88.0, 60.0: 88.1}, "undecided"),
    ],
)
def test_cliff(stage, row, values, decision):
    cliff = Claim(kind="cliff", text="c", a=Term(stage="ticket"), near=30.0, until=50.0, margin=2.0)
    (found,) = find_all(study(cliff), curve(stage, row, values))
    assert found.decision == decision


RATIO = Claim(
    kind="ratio",
    text="r",
    a=Term(stage="dense", series="ANN"),
    b=Term(stage="ticket", series="SNN"),
    published=8.92,
    band=(5.95, 13.38),
)


@pytest.mark.parametrize(
    ("energies", "decision"),
    [
        ((880.0, 890.0, 900.0), "shown"),
        ((3980.0, 3990.0, 4000.0), "other size"),  # 39.9 times is not 8.92 times
        ((400.0, 410.0, 420.0), "other size"),
        ((1300.0, 1340.0, 1380.0), "direction"),
        ((200.0, 90.0, 100.0), "undecided"),
        ((50.0, 51.0, 52.0), "contrary"),
        ((890.0,), "one seed"),
        ((), "missing"),
    ],
)
def test_ratio_of_energies_has_two_sides(stage, row, energies, decision):
    seeds = [90.0, 91.0, 92.0][: len(energies) or 3]
    rows = [
        row(stage("dense", *seeds, energy=energies), series="ANN"),
        row(stage("ticket", *seeds, energy=(100.0,) * len(seeds)), series="SNN"),
    ]
    (found,) = find_all(study(RATIO), rows)
    assert found.decision == decision


def test_every_product_is_priced_where_the_claim_says_so_with_the_other_price_beside(stage, row):
    priced = RATIO.model_copy(update={"a": RATIO.a.model_copy(update={"price": "all"})})
    three = (90.0, 91.0, 92.0)
    rows = [
        row(stage("dense", *three, energy=(400.0,) * 3, dense=(890.0, 891.0, 892.0)), series="ANN"),
        row(stage("ticket", *three, energy=(100.0,) * 3), series="SNN"),
    ]
    (found,) = find_all(study(priced), rows)
    assert found.value == pytest.approx(8.91, abs=1e-3)
    assert found.decision == "shown"
    assert "4.00 times with zeros skipped" in found.numbers


def test_a_gain_far_beyond_the_papers_most_does_not_agree(stage, row):
    gain = claim("above", published=3.8, most=True, band=(0.0, 7.6))
    dense = stage("dense", 50.0, 50.0, 50.0)
    for value, decision in ((31.94, "other size"), (3.0, "shown"), (-3.0, "contrary")):
        rows = [row(stage("ticket", *(50 + value + d for d in (-0.1, 0.0, 0.1))), dense)]
        (found,) = find_all(study(gain), rows)
        assert found.decision == decision


def test_holds_has_two_sides(stage, row):
    rows = [row(stage("ticket", 69.9, 70.0, 70.1), stage("dense", 60.0, 60.0, 60.0))]
    assert find_all(study(claim("holds")), rows)[0].decision == "other size"


def test_one_seed_is_no_verdict(stage, row):
    rows = [row(stage("ticket", 90.0, samples=1000), stage("dense", 50.0, samples=1000))]
    (found,) = find_all(study(claim("above")), rows)
    assert found.decision == "one seed"
    assert found.adjusted == 1


def test_a_claim_among_many_must_survive_holm(stage, row):
    """p = 0.042 alone, which one more claim that shows nothing is enough to undo."""
    dense = stage("dense", 90.0, 90.0, 90.0)
    one = row(stage("ticket", *(90.27 + d for d in (-0.1, 0.0, 0.1))), dense)
    assert find_all(study(claim("above")), [one])[0].decision == "shown"
    none = row(stage("ticket", 90.1, 89.9, 90.05), dense, series="ANN")
    found = find_all(study(claim("above")), [one, none])
    assert [f.decision for f in found] == ["undecided", "undecided"]
    assert found[0].adjusted == pytest.approx(2 * found[0].p)
    assert found[0].detectable > find_all(study(claim("above")), [one])[0].detectable


@pytest.mark.parametrize(
    "rest",
    [
        {"expect": "above", "published": 3.8},
        {"expect": "above", "published": 3.8, "most": True, "band": (0.0, 3.0)},
        {"expect": "above", "band": (2.0, 1.0)},
        {"expect": "holds", "band": (-5.0, 2.0)},
    ],
)
def test_bands_that_make_no_sense_are_refused(rest):
    with pytest.raises(ValidationError):
        claim(**rest)


def test_what_a_panel_comes_to(stage, row):
    shown = row(stage("ticket", 90.0, 90.1, 90.3), stage("dense", 90.0, 90.0, 90.1))
    contrary = row(
        stage("ticket", 80.0, 80.1, 80.3), stage("dense", 90.0, 90.0, 90.1), panel="q", title="Q"
    )
    missing = row(stage("ticket", 80.0, 80.1, 80.3), panel="m", title="M")
    made = study(claim("holds"))
    by_panel = {
        panel: agreement(
            [f for f in find_all(made, [shown, contrary, missing]) if f.panel == panel]
        )
        for panel in "pqm"
    }
    assert by_panel == {"p": "agrees", "q": "disagrees", "m": "unfinished"}
    told = "\n".join(sentences(made, [shown, contrary, missing]))
    assert "**P**: agrees with the paper (1 shown)" in told
    assert "**Q**: disagrees with the paper (1 contrary)" in told
    assert "SNN missing, not finished" in told


def test_the_papers_difference_stands_beside_ours(stage, row):
    made = row(
        stage("ticket", 90.0, 90.1, 90.3),
        stage("dense", 90.0, 90.0, 90.1),
        published="table1.cifar10-vgg9",
    )
    (found,) = find_all(study(claim("holds")), [made])
    assert found.stated == pytest.approx(87.52 - 87.71)
    assert "the paper \N{MINUS SIGN}0.19" in found.numbers


def test_p_values_are_students_also_where_test_samples_widen_the_interval(stage, row):
    """Three seeds that differ by 2 to 4 points on 1,000 samples: nothing like the normal tail."""
    rows = [
        row(stage("ticket", 92, 93, 94, samples=1000), stage("dense", 90, 90, 90, samples=1000))
    ]
    (found,) = find_all(study(claim("above")), rows)
    half = found.high - found.value
    t = found.value / half * stats.t.ppf(0.975, 2)
    assert found.adjusted == pytest.approx(2 * stats.t.sf(t, 2), rel=1e-6)
    error = half / stats.t.ppf(0.975, 2)
    least = error * (stats.t.ppf(0.975, 2) + stats.t.ppf(0.8, 2))
    assert found.detectable == pytest.approx(least, rel=1e-6)


@pytest.mark.slow
def test_a_family_of_nets_that_do_not_differ_rarely_shows_anything(stage, row):
    """Five comparisons of three seeds, each seed its own net on 1,000 samples of its own luck."""
    source, wrong, families = np.random.default_rng(0), 0, 100
    for _ in range(families):
        rows = []
        for panel in range(5):
            # seeds differ by a point, whole samples
            a, b = np.round(source.normal(80, 1.0, size=(2, 3)), 1)
            rows.append(
                row(
                    stage("ticket", *a, samples=1000),
                    stage("dense", *b, samples=1000),
                    panel=str(panel),
                )
            )
        found = find_all(study(claim("above")), rows)
        wrong += any(f.decision in ("shown", "contrary") for f in found)
    assert wrong / families <= 0.095  # 0.05 and two standard errors
