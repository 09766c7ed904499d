"""What the guide adds is added as it says: one file in a copy of the package, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

import spiketicket
from spiketicket.data import load_dataset, make_config

GUIDE = (ROOT / "docs" / "adding.md").read_text()
RECIPE = """
name = "added"
[data]
name = "digits"
train_limit = 60
[model]
name = "convnet"
width = 0.125
timesteps = 2
weights = "binary"
[neuron]
name = "lif"
[ticket]
name = "edge_popup"
density = 0.2
[train]
epochs = 1
tune = "off"
batch_size = 20
kernel = "eager"
"""
# The finder of an editable install goes before PYTHONPATH, and finds the package itself.
PROGRAM = """
import json
import sys
from pathlib import Path
sys.meta_path[:] = [finder for finder in sys.meta_path if isinstance(finder, type)]
from command import spiketicket as invoke
from spiketicket.errors import UserError
from spiketicket.recipe import load_recipe
from spiketicket.experiment.find import find

def spike(*arguments):
    done = invoke(*arguments)
    assert done.exit_code == 0, (arguments, done.output)
    return done.stdout

def refused(make, *arguments):
    try:
        make(*arguments)
    except UserError as error:
        return str(error)

overrides = json.loads(sys.argv[1])
found = find(load_recipe("added.toml", overrides), threads=1).to_dict()
mistakes = [f"{text}x" for text in overrides if ".name=" in text]
told = [refused(load_recipe, "added.toml", [mistake]) for mistake in mistakes]
(ticket,) = Path("runs").glob("*/*.ticket")
shown = json.loads(spike("show", str(ticket), "--json"))
"""
TESTED = """
import pytest
assert pytest.main(["-q", "-p", "no:cacheprovider", "-k", sys.argv[2], *sys.argv[3:]]) == 0
"""
TOLD = """
print()
print(json.dumps([found, told, shown, more]))
"""


def the_file(path):
    """The text of a file that the guide has as a whole."""
    stated = rf"`src/spiketicket/{path}`,\s(\d+)\slines\swith\sits\sdocstrings[^`]*"
    found = re.search(stated + r"```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    lines, code = found.groups()
    assert int(lines) == len([line for line in code.splitlines() if line.strip()])
    return code


def added(folder, paths, overrides, program="more = None", tests=(), controls=()):
    """What a search tells with more files in the package: of mistakes, its ticket, and more."""
    package = folder / "src" / "spiketicket"
    ignored = shutil.ignore_patterns("__pycache__", "*.ticket", "studies", "peers")
    shutil.copytree(Path(spiketicket.__file__).parent, package, ignore=ignored)
    for path in paths:
        (package / path).write_text(the_file(path))
    (folder / "added.toml").write_text(RECIPE)
    env = {
        **os.environ,
        "PYTHONPATH": f"{package.parent}:{ROOT / 'tests/helpers'}",
        "OMP_NUM_THREADS": "1",
    }
    code = PROGRAM + program + (TESTED if tests else "") + TOLD
    names = " or ".join(Path(path).stem for path in paths)
    files = [str(ROOT / "tests" / test) for test in tests]
    ended = subprocess.run(
        [sys.executable, "-c", code, json.dumps(overrides), names, *files],
        capture_output=True,
        text=True,
        env=env,
        cwd=folder,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found, told, shown, more = json.loads(ended.stdout.splitlines()[-1])
    assert [stage["stage"] for stage in found["stages"]] == [
        "ticket",
        "dense",
        "random_trained",
        "random_frozen",
        *controls,
    ]
    assert found["stages"][0]["density"] == pytest.approx(0.2, abs=1e-3)
    assert found["verdict"]["outcome"] == "too_small"
    for path, text in zip(paths if told else (), told, strict=True):
        assert f"Did you mean {Path(path).stem}" in text
    return shown, more, ended.stdout


@pytest.mark.slow
def test_a_method_is_one_file(tmp_path):
    added(tmp_path, ["methods/magnitude_init.py"], ["ticket.name=magnitude_init"])


@pytest.mark.slow
def test_a_control_is_one_file(tmp_path):
    added(
        tmp_path,
        ["methods/controls/redrawn.py"],
        ["controls.redrawn=true"],
        controls=["redrawn"],
    )


MORE = """
import numpy as np
from spiketicket.models.of_ticket import from_ticket
from spiketicket.engine.compile import __file__ as place, compile_ticket
from spiketicket.experiment.exactness import compare_models
from spiketicket.ticket import Ticket

for command in (["eval"], ["measure"], ["export", "--to", "torch", "-o", "plain"]):
    spike(command[0], str(ticket), *command[1:], "--root", "parity")
# the engine without the second file, and with it
made = Ticket.load(ticket)
unknown = refused(compile_ticket, made)
(Path(place).parent / "mlp.py").write_text(Path("mlp.py").read_text())
x = np.random.default_rng(0).normal(0, 1.2, (20, 1, 1, 8, 8)).astype(np.float32)
same = compare_models(compile_ticket(made), from_ticket(made, "eager"), x)
spike("export", str(ticket), "--to", "c", "-o", "plain")

checked = json.loads(spike("data", "check", "arrays", "--root", "parity", "--json"))
Path("parity/test.npz").unlink()
broken = invoke("data", "check", "arrays", "--root", "parity").output
more = [unknown, same.neuron_steps, same.wrong, same.logit_difference, checked, broken]
"""


@pytest.mark.slow
def test_a_network_and_a_data_set_are_one_file_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"^```python\n(from pathlib.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)[1]
    exec(compile(example, "docs/adding.md", "exec"), {})
    (tmp_path / "mlp.py").write_text(the_file("engine/compile/mlp.py"))
    shown, (unknown, steps, wrong, difference, checked, broken), tested = added(
        tmp_path,
        ["models/mlp.py", "data/arrays.py"],
        [
            "model.name=mlp",
            "model.hidden=[24,16]",
            "model.width=1",
            "data.name=arrays",
            "data.root=parity",
        ],
        MORE,
        ["recipe/test_registry.py", "models/test_networks.py", "data/test_data_api.py"],
    )
    layers = [layer["shape"] for layer in shown["summary"]["layers"]]
    assert layers == [[24, 64], [16, 24], [2, 16]]
    assert shown["stated"]["classes"] == ["0", "1"]
    assert "cannot be run without PyTorch (got 'mlp')" in unknown
    assert (steps, wrong) == (20 * 2 * (24 + 16), 0)
    assert difference < 1e-5
    digits = load_dataset(make_config("digits"))
    assert sum(checked["train_counts"]) == len(digits.train)
    assert checked["test_counts"][1] == (digits.test.y % 2).sum()
    assert "Put train.npz and test.npz into DIR" in broken
    ran = re.search(r"^(\d+) passed", tested, re.MULTILINE)
    assert int(ran[1]) >= 12
