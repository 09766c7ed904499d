"""The names of the package, before and after they are used."""

import importlib
import subprocess
import sys

import pytest

import spiketicket


@pytest.mark.slow
@pytest.mark.parametrize("module", ["spiketicket", "spiketicket.recipe", "spiketicket.engine"])
def test_the_public_names_show_before_they_are_used(module):
    code = f"import {module} as m, sys; print(*dir(m)); assert 'torch' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = set(run.stdout.split())
    assert names - {"__version__"} == set(importlib.import_module(module).__all__)


@pytest.mark.slow
def test_every_public_name_is_there():
    for name in dir(spiketicket):
        assert getattr(spiketicket, name) is not None
    assert "find" in dir(spiketicket)
