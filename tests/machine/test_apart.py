"""Processes that are started import nothing that lies in the current folder."""

import multiprocessing
import os
import subprocess
import sys

import pytest

from spiketicket import cli
from spiketicket.bench import process as bench_process
from spiketicket.bench.job import Job
from spiketicket.machine.apart import VARIABLE, apart
from spiketicket.sweep import local


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The current folder has a module of the name that a process imports first."""
    (tmp_path / "multiprocessing.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def test_a_process_that_is_started_apart_runs_no_file_of_the_current_folder(planted):
    with apart():
        child = multiprocessing.get_context("spawn").Process(target=os.getpid)
        child.start()
    child.join(60)
    assert child.exitcode == 0
    assert not (planted / "ran").exists()
    assert VARIABLE not in os.environ


def test_what_the_user_has_set_is_left(monkeypatch):
    monkeypatch.setenv(VARIABLE, "yes")
    with apart():
        assert os.environ[VARIABLE]
    assert os.environ[VARIABLE] == "yes"


def test_the_workers_of_a_sweep_are(planted, monkeypatch):
    seen = []

    class Process:
        def __init__(self, **_):
            pass

        def start(self):
            seen.append(os.environ.get(VARIABLE))

    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(type(context), "Process", Process)
    local.Local(workers=1)._start()
    assert seen == ["1"]


def test_the_peers_of_a_comparison_are(tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    def popen(command, **_):
        assert command[:2] == [sys.executable, "-P"]
        raise Stop

    monkeypatch.setattr(bench_process.subprocess, "Popen", popen)
    with pytest.raises(Stop):
        bench_process.PeerProcess(
            Job(
                ticket="t",
                peer="p",
                batch=1,
                threads=1,
                cpus=(),
                inputs="i",
                calibration="c",
                folder=str(tmp_path),
            ),
            1.0,
        )


def test_whatever_a_command_starts_is(planted, monkeypatch):
    def do(_):
        code = "import sys; print('' in sys.path)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.strip() == b"False"
        return 0

    monkeypatch.setattr(cli, "_do", do)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
