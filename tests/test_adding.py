"""The guide's method is added as it says: one file in a copy of the package, and nothing else."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import spiketicket

GUIDE = (Path(__file__).parent.parent / "docs" / "adding.md").read_text()
RECIPE = """
name = "added"
[data]
name = "digits"
train_limit = 60
[model]
name = "convnet"
width = 0.125
timesteps = 1
weights = "binary"
[neuron]
name = "lif"
[ticket]
name = "magnitude_init"
density = 0.2
[train]
epochs = 1
batch_size = 20
kernel = "eager"
"""
# The finder of an editable install goes before PYTHONPATH, and finds the package itself.
PROGRAM = """
import json
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if isinstance(finder, type)]
from spiketicket.errors import UserError
from spiketicket.recipe import load_recipe
from spiketicket.run import find

found = find(load_recipe("added.toml"), threads=1).to_dict()
try:
    load_recipe("added.toml", ["ticket.name=magnitude_inti"])
except UserError as error:
    print(json.dumps([found, str(error)]))
"""


@pytest.mark.slow
def test_a_method_is_one_file(tmp_path):
    code = re.search(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert f"{len(lines)} lines with its docstrings" in GUIDE
    package = tmp_path / "src" / "spiketicket"
    shutil.copytree(Path(spiketicket.__file__).parent, package)
    (package / "methods" / "magnitude_init.py").write_text(code)
    (tmp_path / "added.toml").write_text(RECIPE)
    env = {"PYTHONPATH": str(package.parent), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env,
                           cwd=tmp_path, timeout=600, check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found, told = json.loads(ended.stdout)
    assert [arm["arm"] for arm in found["arms"]] == [
        "ticket", "dense", "random_trained", "random_frozen"
    ]  # fmt: skip
    assert found["arms"][0]["density"] == pytest.approx(0.2, abs=1e-3)
    assert found["verdict"]["outcome"] in ("wins", "ties", "loses")
    assert "Did you mean magnitude_init" in told
