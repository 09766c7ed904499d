"""Methods beside each other: one network, one data set, the same seeds and the same budget.

Every method at every density is a run as ``find`` makes it, with its own controls and verdict; all
are done by one sweep, so that the dense net, and whatever else they share, is trained once. What
each ticket cost, its search included, is told in epochs, samples passed forward and back, and time.
"""

from __future__ import annotations

from spiketicket.compare.entries import Entry, make_entries
from spiketicket.compare.found import Compared, collect
from spiketicket.compare.methods import compare_methods
from spiketicket.compare.writing import write_comparison

__all__ = ["Compared", "Entry", "collect", "compare_methods", "make_entries", "write_comparison"]
