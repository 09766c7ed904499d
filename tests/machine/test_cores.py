"""The cores a process may use, and what is set before PyTorch is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from spiketicket.machine import cores

VARIABLES = [*cores.WAITING, "OMP_NUM_THREADS"]


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def quota(tmp_path, groups):
    (tmp_path / "cgroup").write_text(groups)
    return cores._quota(tmp_path / "cgroup", tmp_path / "fs")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("150000 100000", 1.5),
        ("max 100000", None),
        ("20000 100000\n", 0.2),
        ("", None),
        ("100000 0", None),
        ("x y", None),
        ("400000", None),
    ],
)
def test_a_quota_of_version_2(tmp_path, text, wanted):
    put(tmp_path / "fs", cpu__max=text)
    assert quota(tmp_path, "0::/\n") == wanted


def test_the_tightest_of_a_group_and_those_above_it(tmp_path):
    put(tmp_path / "fs" / "a", cpu__max="200000 100000")
    put(tmp_path / "fs" / "a" / "b", cpu__max="max 100000")
    put(tmp_path / "fs" / "a" / "b" / "c", cpu__max="700000 100000")
    assert quota(tmp_path, "0::/a/b/c\n") == 2


def test_a_quota_of_version_1(tmp_path):
    folder = tmp_path / "fs" / "cpu,cpuacct" / "docker"
    put(folder, cpu__cfs_quota_us="300000\n", cpu__cfs_period_us="100000\n")
    put(folder.parent, cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    memory = tmp_path / "fs" / "memory"
    put(memory, cpu__cfs_quota_us="100000\n", cpu__cfs_period_us="100000\n")
    assert quota(tmp_path, "9:memory:/\n4:cpu,cpuacct:/docker\n0::/\n") == 3


def test_a_container_sees_its_own_group_at_the_mount(tmp_path):
    put(tmp_path / "fs" / "cpu", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert quota(tmp_path, "4:cpu,cpuacct:/docker/0123\n") == 0.5
    assert quota(tmp_path, "4:cpu:/../..\n") == 0.5


def test_a_system_without_groups(tmp_path):
    assert cores._quota(tmp_path / "none", tmp_path) is None
    assert quota(tmp_path, "nonsense\n\n::\n") is None


@pytest.mark.parametrize(("share", "wanted"), [(None, 4), (1.5, 2), (0.2, 1), (3.0, 3), (9.0, 4)])
def test_a_quota_is_rounded_up_and_an_affinity_bounds_it(monkeypatch, share, wanted):
    monkeypatch.setattr(cores, "allowed", lambda: (0, 2, 4, 6))
    monkeypatch.setattr(cores, "_quota", lambda groups, mount: share)
    assert cores.cores() == wanted


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinities")
def test_an_affinity_is_heeded():
    code = (
        "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "from spiketicket.machine import cores; print(cores.cores(), len(cores.allowed()))"
    )
    assert said(code, {}) == "1 1\n"


@pytest.mark.parametrize("name", cores.WAITING)
def test_one_word_of_the_user_leaves_all(name):
    environ = {name: "7", "OMP_NUM_THREADS": "3"}
    cores.prepare(environ)
    assert environ == {name: "7", "OMP_NUM_THREADS": "3"}


def test_threads_are_bounded_where_only_we_know_the_bound(monkeypatch):
    monkeypatch.setattr(cores, "allowed", lambda: (0, 1, 2, 3))
    for share, wanted in ((2.0, {"OMP_NUM_THREADS": "2"}), (None, {})):
        monkeypatch.setattr(cores, "_quota", lambda groups, mount, share=share: share)
        environ: dict[str, str] = {}
        cores.prepare(environ)
        assert environ == {**cores.WAITING, **wanted}


def test_programs_that_are_compared_wait_as_they_come():
    environ = {"HOME": "/", **cores.WAITING}
    cores.as_found(environ)
    assert environ == {"HOME": "/", **cores.AS_BY_DEFAULT}
    cores.prepare(environ)  # in the process that is started with it
    assert environ["GOMP_SPINCOUNT"] == "300000"
    assert "OMP_WAIT_POLICY" not in environ
    environ = {"OMP_WAIT_POLICY": "ACTIVE"}
    cores.as_found(environ)
    assert environ == {"OMP_WAIT_POLICY": "ACTIVE"}


CHILD = f"import json, os; print(json.dumps([os.environ.get(n) for n in {VARIABLES[:3]}]))"
SHOW = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {CHILD!r}], check=True)"


@pytest.mark.parametrize(
    ("before", "given", "wanted"),
    [
        ("import spiketicket\n", {}, ["PASSIVE", "1000", "0"]),
        ("import spiketicket.cli\n", {}, ["PASSIVE", "1000", "0"]),
        ("import spiketicket\n", {"OMP_WAIT_POLICY": "active"}, ["active", None, None]),
        # loaded already: nothing would change
        ("import sys; sys.modules['torch'] = sys\nimport spiketicket\n", {}, [None] * 3),
    ],
)
def test_what_an_import_sets_for_this_process_and_its_children(before, given, wanted):
    assert json.loads(said(before + SHOW, given)) == wanted


def test_the_variables_are_there_before_pytorch_is_loaded():
    code = (
        "import os, sys\n"
        "class Look:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))\n"
        "            os._exit(0 if not sys.stdout.flush() else 1)\n"
        "sys.meta_path.insert(0, Look())\n"
        "import spiketicket.experiment.find\n"
    )
    assert said(code, {}) == "PASSIVE 1000\n"


def said(code, given):
    rest = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**rest, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
