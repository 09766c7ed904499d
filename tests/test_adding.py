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


@pytest.mark.slow
def test_a_method_is_one_file(tmp_path):
    code = re.search(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 25, "a method is added in a few lines"
    package = tmp_path / "src" / "spiketicket"
    shutil.copytree(Path(spiketicket.__file__).parent, package)
    (package / "methods" / "magnitude_init.py").write_text(code)
    (tmp_path / "added.toml").write_text(RECIPE)
    program = "from spiketicket.cli import main; main()"

    def run(*words):
        command = [sys.executable, "-c", program, *words]
        env = {"PYTHONPATH": str(package.parent), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path,
                              timeout=300, check=False)  # fmt: skip

    ended = run("find", "added.toml", "--json", "--no-report", "--threads", "1")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert [arm["arm"] for arm in found["arms"]] == [
        "ticket", "dense", "random_trained", "random_frozen"
    ]  # fmt: skip
    assert found["arms"][0]["density"] == pytest.approx(0.2, abs=1e-3)
    assert found["verdict"]["outcome"] in ("wins", "ties", "loses")
    ended = run("find", "added.toml", "--set", "ticket.name=magnitude_inti")
    assert ended.returncode == 2
    assert "Did you mean magnitude_init" in ended.stderr
