"""Numbers in words, and the statistics of one stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spiketicket.verdict import intervals
from spiketicket.verdict.intervals import Estimate

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_PICO = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))


@dataclass(frozen=True)
class Spread:
    """Accuracies over seeds in percent; what needs more seeds or samples than there are is None."""

    mean: float
    sd: float | None
    seeds: Estimate | None
    """Student's interval of the mean, within 0 and 100."""
    samples: Estimate | None
    """Wilson's interval of the mean accuracy on the test samples, in percent."""

    @property
    def interval(self) -> Estimate | None:
        """The one to draw: over the seeds, with one seed over the samples."""
        return self.seeds or self.samples


def spread(accuracy: Mapping[int, float], samples: int | None, confidence: float) -> Spread:
    """The spread of at least one seed's accuracy (percent) on ``samples`` test samples.

    The samples are the same for every seed, so they count once, whatever the number of seeds.
    """
    values = list(accuracy.values())
    mean = intervals.mean(values)
    several = len(values) > 1
    seeds = intervals.t_interval(values, confidence) if several else None
    if seeds:
        seeds = Estimate(seeds.value, max(0.0, seeds.low), min(100.0, seeds.high))
    wilson = None
    if samples:
        right = min(samples, round(mean * samples / 100))
        found = intervals.wilson_interval(right, samples, confidence)
        wilson = Estimate(100 * found.value, 100 * found.low, 100 * found.high)
    return Spread(mean, intervals.sd(values) if several else None, seeds, wilson)


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 epoch``, ``2 epochs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(value: float | None) -> str:
    """Two decimals, or a dash."""
    return "–" if value is None else f"{value:.2f}"


def signed(value: float | None) -> str:
    """Percentage points with their sign."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def between(estimate: Estimate | None) -> str:
    """Both ends of an interval."""
    return "–" if estimate is None else f"{estimate.low:.2f} – {estimate.high:.2f}"


def share(value: float) -> str:
    """A fraction as a percentage of few digits."""
    return f"{_digits(100 * value)} %"


def count(value: float | None) -> str:
    """A count with a prefix: 1.23 M."""
    return "–" if value is None else _scaled(value, _PREFIXES).rstrip()


def energy(picojoule: float) -> str:
    """An energy with its unit: 1.23 µJ."""
    return _scaled(picojoule, _PICO)


def size(count_of_bytes: float) -> str:
    """A number of bytes: 690.9 kB."""
    return f"{_scaled(count_of_bytes, _PREFIXES)}B"


def plain(value: object) -> str:
    """A value of a recipe."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    for factor, unit in units:
        # what rounds up to the next unit is written in it
        if value >= 0.9995 * factor:
            return f"{_digits(value / factor)} {unit}".rstrip() + ("" if unit else " ")
    return f"{_digits(value)} {units[-1][1]}" if value else f"0 {units[-1][1]}"


def _digits(value: float) -> str:
    """Three significant digits, no exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(decimals, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
