"""C that runs one time step at a time: the engine's logits, to the bit, from frames and events."""

import ctypes
import subprocess

import numpy as np
import pytest

from spiketicket import Engine
from spiketicket.errors import UserError
from spiketicket.events import Events
from spiketicket.events.frames import PlainFraming, to_frames
from spiketicket.export.c import Camera, ExportError, export_c, read_camera
from spiketicket.ticket import Ticket

pytestmark = pytest.mark.slow
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-ffp-contract=off"]


def built(folder, ticket, **options):
    engine = Engine(ticket)
    export_c(engine.program, folder, "net", stream=True, **options)
    command = ["gcc", *FLAGS, "-shared", "-fPIC", "-o", "net.so", "net.c"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = ctypes.CDLL(str(folder / "net.so"))
    made.net_step.restype = ctypes.c_uint32
    return engine, made


def step(made, classes):
    logits = np.zeros(classes, np.float32)
    steps = made.net_step(logits.ctypes.data_as(ctypes.c_void_p))
    decided = made.net_decided(logits.ctypes.data_as(ctypes.c_void_p))
    return steps, logits, bool(decided)


def show(made, frame):
    made.net_show(np.ascontiguousarray(frame).ctypes.data_as(ctypes.c_void_p))


@pytest.mark.parametrize("name", ["digits-binw", "digits-events", "nmnist1k-vgg"])
def test_every_step_is_the_engines(name, tmp_path):
    engine, made = built(tmp_path, name, margin=2.0)
    shape = engine.input_shape
    x = np.random.default_rng(0).poisson(0.3, (2, 6, *shape[-3:])).astype(np.uint8)
    x = x * 60 if len(shape) == 3 else x
    for sample in x:
        made.net_reset()
        state = engine.state()
        for t in range(6):  # more than the ticket has
            if t == 3:
                made.net_restart_mean()
                state.restart_mean()
            if len(shape) == 4 or t in (0, 4):
                show(made, sample[t])
                want = engine.step(state, sample[t][None])
            else:
                want = engine.step(state)
            steps, logits, decided = step(made, len(engine.classes))
            assert (logits == want[0]).all()
            assert steps == t + 1
            best, second = sorted(want[0].tolist())[:-3:-1]
            lead = np.float32(np.float32(best) - np.float32(second)) * np.float32(state.averaged)
            assert decided == (lead >= 2)
    whole = x[0, :4] if len(shape) == 4 else x[0, 0]
    logits = np.zeros(len(engine.classes), np.float32)
    made.net_run(
        np.ascontiguousarray(whole).ctypes.data_as(ctypes.c_void_p),
        logits.ctypes.data_as(ctypes.c_void_p),
    )
    assert (logits == engine.run(whole[None])[0]).all()


class Event(ctypes.Structure):
    _fields_ = (("x", ctypes.c_uint16), ("y", ctypes.c_uint16), ("polarity", ctypes.c_uint8))


@pytest.mark.parametrize("binary", [False, True])
def test_events_become_the_frames_of_the_ticket(tmp_path, binary):
    camera = Camera(width=40, height=37, binary=binary)
    engine, made = built(tmp_path, "digits-events", camera=camera)
    framing = PlainFraming(steps=4, height=32, width=32, values="binary" if binary else "sum")
    r = np.random.default_rng(3)
    data = np.zeros(4000, [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
    data["t"] = np.arange(4000)
    data["x"], data["y"], data["p"] = (
        r.integers(0, 40, 4000),
        r.integers(0, 37, 4000),
        r.random(4000) < 0.5,
    )
    frames = to_frames(Events(data, 40, 37), framing).astype(np.uint8)
    made.net_reset()
    state = engine.state()
    for t in range(4):
        part = data[1000 * t : 1000 * (t + 1)]
        events = (Event * 1001)(*[(x, y, p) for _, x, y, p in part.tolist()], (40, 0, 1))
        made.net_push(events, ctypes.c_size_t(1001))
        _, logits, _ = step(made, 10)
        assert (logits == engine.step(state, frames[None, t])[0]).all()
    show(made, np.full((2, 32, 32), 255, np.uint8))
    made.net_push((Event * 1)((0, 0, 1)), ctypes.c_size_t(1))  # does not wrap around


def test_the_example_answers_early(tmp_path):
    engine, _ = built(tmp_path, "digits-binw", margin=1.5)
    for command in (["cmake", "-B", "build", "."], ["cmake", "--build", "build"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
    x = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    done = subprocess.run(
        [tmp_path / "build/net_example"], input=x.tobytes(), capture_output=True, check=True
    )
    found = engine.run_early(x, 1.5)
    best = found.logits.argmax(axis=1)
    want = [f"{b} after {s} steps" for b, s in zip(best, found.steps, strict=True)]
    assert done.stdout.decode().splitlines() == want
    assert len(set(found.steps.tolist())) > 1


def test_the_example_of_a_camera(tmp_path):
    built(tmp_path, "digits-events", camera=Camera(width=32, height=32, step_us=100), margin=1e9)
    subprocess.run(["gcc", *FLAGS, "main.c", "net.c", "-o", "main"], cwd=tmp_path, check=True)
    lines = "".join(f"{t} {t % 32} {t % 31} {t % 2}\n" for t in range(0, 1000, 3))
    done = run_main(tmp_path, lines)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 10)
    assert run_main(tmp_path, "1 2 x").returncode == 1
    assert run_main(tmp_path, lines, "0").returncode == 2


def run_main(folder, text, *words):
    command = [folder / "main", *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


USE = """
#include "net.hpp"
#include <cstdio>
int main()
{
    net_stream net;
    static const unsigned char picture[NET_PIXELS] = {200, 100};
    net.show(picture);
    net_answer answer = net.step();
    while (!answer.decided && answer.steps < NET_STEPS) answer = net.step();
    std::printf("%s %u\\n", answer.name(), static_cast<unsigned>(answer.steps));
}
"""


@pytest.mark.parametrize("flags", [["-fno-exceptions", "-fno-rtti"], []])
def test_cxx_17(tmp_path, flags):
    engine, _ = built(tmp_path, "digits-binw", margin=1.5)
    (tmp_path / "use.cpp").write_text(USE)
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]
    subprocess.run(["gcc", *FLAGS, "-c", "net.c", "-o", "net.o"], cwd=tmp_path, check=True)
    command = ["g++", "-std=c++17", *strict, *flags, "use.cpp", "net.o", "-o", "use"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    x = np.zeros((1, 1, 8, 8), np.uint8)
    x.ravel()[:2] = 200, 100
    found = engine.run_early(x, 1.5)
    text = subprocess.run([tmp_path / "use"], capture_output=True, text=True, check=True).stdout
    assert text == f"{found.logits.argmax()} {found.steps[0]}\n"


def test_the_camera_is_the_tickets():
    ticket = Ticket.load("nmnist1k-vgg")
    engine = Engine(ticket)
    camera = read_camera(ticket.metadata, engine.program)
    assert (camera.width, camera.height, camera.merge) == (34, 34, False)
    config = {**ticket.metadata["data"]["config"], "hot_pixel": 3.0}
    with pytest.raises(ExportError, match=r"filtered.*Filter the events in the camera"):
        read_camera({"data": {**ticket.metadata["data"], "config": config}}, engine.program)
    pictures = Ticket.load("digits-binw")
    assert read_camera(pictures.metadata, Engine(pictures).program) is None


def test_a_ranking_by_all_steps_has_no_steps_in_c(tmp_path):
    with pytest.raises(UserError, match="firing rate over all 4 time steps"):
        export_c(Engine("digits-multisp").program, tmp_path / "out", "net", stream=True)
    assert not (tmp_path / "out").exists()
