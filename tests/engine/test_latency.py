"""Threads that work on one image together: the same answer, whatever becomes of the threads."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from spiketicket import Engine
from spiketicket.engine import library
from spiketicket.errors import UserError
from spiketicket.ticket.zoo import list_tickets

pytestmark = pytest.mark.skipif(not library.available(), reason="no C library was built")
ROOT = Path(__file__).parents[2]


def pixels(count, shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)


@pytest.mark.parametrize("path", [t.path for t in list_tickets()], ids=lambda path: path.stem)
def test_zoo_tickets_answer_the_same(path):
    alone = Engine(path)
    x = pixels(2, alone.input_shape)
    for threads in (2, 5):
        engine = Engine(path, threads=threads, mode="latency")
        assert (engine.run(x) == alone.run(x)).all()


@pytest.mark.slow
@pytest.mark.parametrize("net", ["vgg9", "resconv6", "resnet19", "spikformer", "sdt"])
def test_every_network_at_every_level(random_ticket, net):
    ticket = random_ticket(net, seed=4)
    for level in library.levels():
        alone = Engine(ticket, level=level)
        x = pixels(3, alone.input_shape)
        for threads in range(1, 6):
            engine = Engine(ticket, threads=threads, mode="latency", level=level)
            assert (engine.run(x) == alone.run(x)).all()


def test_one_engine_in_many_threads(random_ticket):
    engine = Engine(random_ticket("convnet"), threads=3, mode="latency")
    batches = [pixels(4, engine.input_shape, seed=i) for i in range(12)]
    expected = [engine.run(x) for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(engine.run, batches), expected, strict=True):
            assert (found == wanted).all()


def test_what_is_refused(random_ticket):
    ticket = random_ticket("convnet")
    with pytest.raises(UserError, match=r"mode: must be one of throughput, latency \(got 'fast'"):
        Engine(ticket, mode="fast")
    with pytest.raises(UserError, match="mode: numpy computes on one thread"):
        Engine(ticket, mode="latency", backend="numpy")


ALONE = """
import os, resource, sys
import numpy as np
from spiketicket import Engine
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
x = np.arange(5 * 128, dtype=np.uint8).reshape(5, 2, 8, 8)
expected = Engine(sys.argv[1]).run(x)
engine = Engine(sys.argv[1], threads=4, mode="latency")
assert (engine.run(x) == expected).all()
threads = lambda: len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 4
assert threads() == 4, threads()
child = os.fork()
if not child:
    same = (engine.run(x) == expected).all()
    del engine
    os._exit(0 if same else 1)
print(os.waitpid(child, 0)[1])
assert (engine.run(x) == expected).all()
del engine
assert threads() in (1, 4), threads()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_more_threads_than_cores_and_a_fork_between_runs(random_ticket, tmp_path):
    random_ticket("convnet").save(tmp_path / "x.ticket")
    assert _alone(ALONE, tmp_path / "x.ticket") == "0\n"


LIMITED = """
import resource, sys
import numpy as np
from spiketicket import Engine
x = np.arange(5 * 128, dtype=np.uint8).reshape(5, 2, 8, 8)
engine = Engine(sys.argv[1], threads=4, mode="latency")
expected = Engine(sys.argv[1]).run(x)
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + (4 << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
assert (engine.run(x) == expected).all()
print(len(__import__("os").listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_threads_that_cannot_be_started_are_not_waited_for(random_ticket, tmp_path):
    # there is no memory for the stack of another thread
    random_ticket("convnet").save(tmp_path / "x.ticket")
    assert _alone(LIMITED, tmp_path / "x.ticket") == "1\n"


def _alone(script, *arguments, timeout=120, **more):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    # numpy's own threads would count
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | more
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the sanitizer does not work on this system")
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


RACES = """
import importlib.util, sys, threading
spec = importlib.util.spec_from_file_location("random_programs", sys.argv[1])
programs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(programs)
for seed in range(4):
    program, x = programs.make(seed)
    with programs.Net(program.to_bytes(), latency=True) as net:
        want, same = net.run(x), []
        def work(threads):
            same.extend((net.run(x, threads) == want).all() for _ in range(5))
        workers = [threading.Thread(target=work, args=(2 + i % 2,)) for i in range(3)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        assert len(same) == 15 and all(same)
print("no race")
"""


@pytest.mark.slow
def test_the_thread_sanitizer_sees_no_race(tmp_path):
    cmake, compiler = shutil.which("cmake"), shutil.which("gcc")
    if not (cmake and compiler and (ROOT / "CMakeLists.txt").exists()):
        pytest.skip("needs cmake, gcc and the sources")
    options = ("-DSPIKETICKET_SANITIZE_THREADS=ON", "-DSPIKETICKET_CHECKED_LEVEL=-O0")
    for command in (
        [cmake, "-S", ROOT, "-B", tmp_path, f"-DCMAKE_C_COMPILER={compiler}", *options],
        [cmake, "--build", tmp_path, "--target", "spiketicket_engine"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    found = subprocess.run(
        [compiler, "-print-file-name=libtsan.so"], check=True, capture_output=True, text=True
    )
    said = _alone(
        RACES,
        Path(__file__).with_name("random_programs.py"),
        timeout=600,
        LD_PRELOAD=found.stdout.strip(),
        TSAN_OPTIONS="exitcode=9",
        SPIKETICKET_ENGINE_LIBRARY=str(tmp_path / "libspiketicket_engine.so"),
    )
    assert said == "no race\n"


ASLEEP = """
import os, sys, threading, time
import numpy as np
from spiketicket import Engine
x = np.arange(5 * 128, dtype=np.uint8).reshape(5, 2, 8, 8)
before = set(os.listdir("/proc/self/task"))
engine = Engine(sys.argv[1], threads=4, mode="latency")
engine.run(x)
team = set(os.listdir("/proc/self/task")) - before
state = lambda task: open(f"/proc/self/task/{task}/stat").read().rpartition(")")[2].split()[0]
for _ in range(100):  # who waits in a loop is never asleep
    if all(state(task) == "S" for task in team):
        break
    time.sleep(0.05)
print(len(team), *sorted({state(task) for task in team}))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_team_without_work_sleeps(random_ticket, tmp_path):
    random_ticket("convnet").save(tmp_path / "x.ticket")
    assert _alone(ASLEEP, tmp_path / "x.ticket") == "3 S\n"
