"""Inputs that fuzzing found, each mended: a run folder's numbers may be any."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from fuzz_guard import limited
from fuzz_tickets import helper

from spiketicket.cli.show import show
from spiketicket.report.writing import write_report


@pytest.fixture
def run(tmp_path):
    return helper("report/conftest.py").maker(tmp_path)(seeds=1)


@pytest.mark.parametrize("wall_s", ["NaN", "Infinity", "-Infinity", "1e308"])
def test_show_of_a_time_that_is_none(run, wall_s):
    (run / "seed-0" / "ticket" / "timing.json").write_text(f'{{"wall_s": {wall_s}}}')
    with contextlib.redirect_stdout(io.StringIO()), limited("show", None):
        show([run])


def test_a_report_of_a_class_beyond_all(run):
    np.save(run / "seed-0" / "dense" / "predictions.npy", np.array([1, 2**40] * 50))
    with limited("write_report", None):
        write_report([run], run / "report.html")
