"""The same recipe gives the same bytes as ever: what ``golden.json`` says, scenario by scenario.

Where a change of results is meant, ``python tests/golden/scenarios.py --write`` makes the file
anew, and the commit says why.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).with_name("scenarios.py")
GOLDEN = Path(__file__).with_name("golden.json")


@pytest.mark.slow
@pytest.mark.xdist_group("golden")
def test_the_same_recipe_gives_the_same_bytes():
    command = [sys.executable, str(SCENARIOS)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout.splitlines()[-1])
    known = json.loads(GOLDEN.read_text())
    if made["key"] not in known:
        pytest.skip(f"no golden bytes were recorded for {made['key']}")
    assert made["found"] == known[made["key"]]
