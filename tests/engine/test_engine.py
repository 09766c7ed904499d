"""The interface: what it takes, what it refuses, and what it does not need."""

import re
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from places import DOCS

from spiketicket import Engine
from spiketicket.data.augment import normalise
from spiketicket.engine import library
from spiketicket.engine.compile import compile_ticket
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import DataShape
from spiketicket.ticket import TicketError

needs_library = pytest.mark.skipif(not library.available(), reason="no C library was built")
BACKENDS = ["numpy", pytest.param("c", marks=needs_library)]


@pytest.fixture(scope="module")
def ticket(random_ticket):
    return random_ticket("convnet")


@pytest.fixture(scope="module")
def event_ticket(random_ticket):
    return random_ticket("convnet", DataShape(channels=2, height=8, width=8, classes=5, frames=3))


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_are_normalised_as_in_training(ticket, backend):
    engine, x = Engine(ticket, backend=backend), pixels(5, 2, 8, 8)
    assert engine.backend == backend
    assert engine.input_shape == (2, 8, 8)
    logits = engine.run(x)
    values = normalise(torch.from_numpy(x), [0.4, 0.4], [0.3, 0.3]).numpy()
    assert logits.dtype == np.float32
    assert logits.shape == (5, 5)
    assert (logits == engine.run(values)).all()
    assert (engine.predict(x) == logits.argmax(1)).all()
    assert engine.classes == tuple(f"class {i}" for i in range(5))
    assert engine.run(x[:0]).shape == (0, 5)
    assert engine.predict(x[:0]).shape == (0,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_layout_and_float_type(ticket, backend):
    engine, x = Engine(ticket, backend=backend), pixels(6, 2, 8, 8)
    expected = engine.run(x)
    assert (engine.run(np.asfortranarray(x)) == expected).all()
    assert (engine.run(x[::-1])[::-1] == expected).all()
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    assert (engine.run(channels_last.transpose(0, 3, 1, 2)) == expected).all()
    values = np.random.default_rng(1).normal(size=(4, 2, 8, 8))
    assert (engine.run(values) == engine.run(values.astype(np.float32))).all()
    assert (engine.run(values.astype(">f4")) == engine.run(values)).all()
    half = values.astype(np.float16)
    assert (engine.run(half) == engine.run(half.astype(np.float32))).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_of_recordings(event_ticket, backend):
    engine = Engine(event_ticket, backend=backend)
    assert engine.input_shape == (3, 2, 8, 8)
    x = np.random.default_rng(0).poisson(0.5, (4, 3, 2, 8, 8)).astype(np.uint8)
    assert (engine.run(x) == engine.run(x.astype(np.uint16))).all()
    many = x.astype(np.uint16) * 300
    values = normalise(torch.from_numpy(many.astype(np.int32)), [0.4, 0.4], [0.3, 0.3]).numpy()
    assert (engine.run(many) == engine.run(values)).all()


@needs_library
@pytest.mark.parametrize("name", ["vgg9", "resconv6", "resnet19", "spikformer", "sdt"])
def test_c_and_numpy_give_the_same(random_ticket, name):
    ticket = random_ticket(name, seed=2)
    engines = [Engine(ticket, backend="numpy"), Engine(ticket, backend="c", threads=2)]
    x = pixels(7, *engines[0].input_shape)
    first, second = (engine.run(x) for engine in engines)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


REFUSED = {
    "shape of one": (lambda: pixels(2, 8, 8), r"\[N, 2, 8, 8\].*got \[2, 8, 8\].*x\[None\]"),
    "channels last": (lambda: pixels(4, 8, 8, 2), r"transpose\(0, 3, 1, 2\)"),
    "another size": (lambda: pixels(4, 2, 9, 8), "images of this size"),
    "int64": (lambda: pixels(4, 2, 8, 8).astype(int), r"uint8 or float32.*int64.*astype"),
    "bool": (lambda: pixels(4, 2, 8, 8) > 3, "uint8 or float32"),
    "uint16": (lambda: pixels(4, 2, 8, 8).astype(np.uint16), "uint8 or float32"),
    "complex": (lambda: pixels(4, 2, 8, 8).astype(complex), "uint8 or float32"),
    "nan": (lambda: np.full((4, 2, 8, 8), np.nan), "finite numbers.*samples 0 to 3"),
    "too large": (lambda: np.full((4, 2, 8, 8), 1e300), "finite numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_to_do(ticket, case):
    make, says = REFUSED[case]
    with pytest.raises(UserError, match=f"(?s)^x: must.*{says}"):
        Engine(ticket, backend="numpy").run(make())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"threads": 0}, "threads: must be a whole number from 1"),
        ({"backend": "gpu"}, "backend: must be one of auto, c, numpy"),
    ],
)
def test_bad_options(ticket, options, says):
    with pytest.raises(UserError, match=says):
        Engine(ticket, **options)


def test_a_path_is_named_in_errors(ticket, tmp_path):
    path = tmp_path / "x.ticket"
    with pytest.raises(UserError, match=r"x\.ticket"):
        Engine(path)
    network = {"network": {"name": "mine"}}
    replace(ticket, metadata=network).save(path)
    with pytest.raises(TicketError, match=r"x.ticket.*mine.*load_into"):
        Engine(path)
    ticket.save(path)
    x = pixels(3, 2, 8, 8)
    given, loaded = (Engine(t, backend="numpy").run(x) for t in (ticket, str(path)))
    assert (given == loaded).all()


def test_without_the_library_it_says_so(ticket, monkeypatch):
    monkeypatch.setattr(library, "available", lambda: False)
    with pytest.warns(RuntimeWarning, match="C library") as said:
        assert Engine(ticket).backend == "numpy"
    assert said[0].filename == __file__
    with pytest.raises(UserError, match=r"backend: the C library.*numpy"):
        Engine(ticket, backend="c")


def test_no_normalisation_no_bytes(ticket):
    metadata = {k: v for k, v in ticket.metadata.items() if k not in ("normalisation", "classes")}
    engine = Engine(replace(ticket, metadata=metadata), backend="numpy")
    with pytest.raises(UserError, match="normalisation"):
        engine.run(pixels(1, 2, 8, 8))
    assert engine.run(np.zeros((1, 2, 8, 8), np.float32)).shape == (1, 5)
    assert engine.classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_plan_names_layers(ticket, backend):
    engine = Engine(ticket, backend=backend)
    plan = engine.plan(pixels(2, 2, 8, 8))
    assert plan[0]["name"] == "features.0.synapse"
    assert plan[-1]["name"] == "classifier"
    assert all(step["us"] is not None and step["us"] >= 0 for step in plan)
    assert all(step["us"] is None for step in engine.plan())
    assert 0.3 < plan[0]["density"] < 0.7


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_engine_in_many_threads(ticket, backend):
    engine = Engine(ticket, backend=backend)
    batches = [pixels(9, 2, 8, 8, seed=i) for i in range(12)]
    expected = [engine.run(x) for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(engine.run, batches), expected, strict=True):
            assert (found == wanted).all()


def test_ten_thousand_images_in_little_memory(random_ticket):
    """As many images as one stands for, by broadcasting: only what the engine copies counts."""
    ticket = random_ticket(
        "convnet",
        DataShape(channels=3, height=32, width=32, classes=5),
        {"timesteps": 1, "width": 0.04},
    )
    engine = Engine(ticket, backend="auto" if library.available() else "numpy")
    images = 10_000 if engine.backend == "c" else 400
    x = np.broadcast_to(np.float32(0.3), (images, 3, 32, 32))
    tracemalloc.start()
    logits = engine.run(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (logits == logits[0]).all()
    assert peak < 300e6


ALONE = """
import os, sys
import numpy as np
from spiketicket import Engine
engine = Engine(sys.argv[1], backend=sys.argv[2])
x = np.arange(5 * 128, dtype=np.uint8).reshape(5, 2, 8, 8)
expected = engine.run(x)
heavy = {"torch", "pydantic", "scipy", "pandas", "typer", "rich", "PIL"}
print(sorted(heavy & set(sys.modules)))
child = os.fork()
if not child:
    os._exit(0 if (engine.run(x) == expected).all() else 1)
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
@pytest.mark.parametrize("backend", BACKENDS)
def test_needs_little_and_may_be_forked(ticket, tmp_path, backend):
    ticket.save(tmp_path / "x.ticket")
    command = [sys.executable, "-c", ALONE, str(tmp_path / "x.ticket"), backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split("\n") == ["[]", "0", ""], done.stderr


SETTINGS = {
    "softmax": ({"attention": "softmax"}, "model.attention: .*spikes only.*eval"),
    "random": ({"ranking": "random", "keep": 0.5}, "model.ranking: .*drawn anew.*random"),
    "isolated": (
        {"ranking": "center", "keep": 0.5, "execution": "isolated"},
        "model.execution: .*isolated",
    ),
    "steps": ({"timesteps": 33}, "model.timesteps|at most 32"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_what_has_no_program_is_refused_by_name(random_ticket, case):
    model, says = SETTINGS[case]
    with pytest.raises(UserError, match=f"(?s){says}"):
        compile_ticket(random_ticket("spikformer", model=model))


def test_attention_needs_spikes(random_ticket):
    relu = random_ticket("spikformer", model={"timesteps": 1}, neuron={"name": "relu"})
    with pytest.raises(UserError, match=r"neuron.name: attention.*relu"):
        compile_ticket(relu)


def changed(ticket, **parts):
    network = ticket.metadata["network"]
    args = {key: {**network["args"][key], **parts.get(key, {})} for key in network["args"]}
    return replace(ticket, metadata={**ticket.metadata, "network": {**network, "args": args}})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg9", "convnet", "resconv6", "resnet19", "spikformer", "sdt"])
def test_a_setting_that_is_missing_has_its_default(random_ticket, name):
    """Tickets made before a setting existed lack it; the settings' own defaults decide."""
    from spiketicket.neurons import lif
    from spiketicket.recipe import registry

    config = registry.load("models", name).Config
    # what a network is built of must be its defaults where they are left out
    ticket = random_ticket(
        name, DataShape(channels=3, height=32, width=32, classes=4), dict.fromkeys(()), seed=1
    )
    content = compile_ticket(ticket).to_bytes()
    for key, kind in (("model", config), ("neuron", lif.Config), ("shape", None)):
        given = ticket.metadata["network"]["args"][key]
        defaults = (
            {"frames": 1}
            if kind is None
            else {k: f.get_default() for k, f in kind.model_fields.items() if not f.is_required()}
        )
        for field, value in given.items():
            if field != "name" and field in defaults and value == defaults[field]:
                shorter = {k: v for k, v in given.items() if k != field}
                network = ticket.metadata["network"]
                args = {**network["args"], key: shorter}
                metadata = {**ticket.metadata, "network": {**network, "args": args}}
                assert compile_ticket(replace(ticket, metadata=metadata)).to_bytes() == content


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"model": {"new_setting": 1}}, "model.new_setting: an unknown setting.*newer"),
        ({"model": {"timesteps": "4"}}, "model.timesteps: must be a whole number"),
        ({"neuron": {"decay": 1.0}}, "neuron.decay"),
        ({"neuron": {"v_threshold": float(10**300)}}, "finite"),
        ({"neuron": {"name": "izhikevich"}}, "neuron.name: must be one of lif"),
        ({"shape": {"height": 0}}, "network.args.shape.height"),
        ({"shape": {"channels": 3}}, "must be 3 numbers|features.0.synapse"),
        ({"shape": {"classes": 4}}, "one float32 a class"),
        ({"shape": {"width": 10}}, "multiples of"),
    ],
)
def test_forged_settings_are_refused(ticket, parts, says):
    with pytest.raises(UserError, match=f"(?s){says}"):
        compile_ticket(changed(ticket, **parts))


def test_arrays_of_another_network_are_refused(ticket):
    more = replace(ticket, tensors={**ticket.tensors, "extra.bias": np.zeros(3, np.float32)})
    with pytest.raises(TicketError, match=r"1 are too many.*extra\.bias"):
        compile_ticket(more)
    fewer = {k: v for k, v in ticket.tensors.items() if k != "features.1.norm.running_var"}
    with pytest.raises(TicketError, match=r"missing.*features\.1\.norm\.running_var"):
        compile_ticket(replace(ticket, tensors=fewer))
    with pytest.raises(TicketError, match=r"missing.*classifier\.weight"):
        compile_ticket(replace(ticket, layers=ticket.layers[:-1]))
    broken = dict(ticket.tensors)
    broken["features.1.norm.running_var"] = -np.ones_like(broken["features.1.norm.running_var"])
    with pytest.raises(UserError, match=r"features\.1\.synapse.*finite"):
        compile_ticket(replace(ticket, tensors=broken))


@pytest.mark.filterwarnings("ignore:the C library:RuntimeWarning")
def test_the_guide_runs(random_ticket, tmp_path, monkeypatch):
    guide = DOCS / "engine.md"
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    assert len(blocks) == 3
    ticket = random_ticket(
        "convnet", DataShape(channels=1, height=32, width=32, classes=5), {"timesteps": 2}
    )
    ticket.save(tmp_path / "digits.ticket")
    monkeypatch.chdir(tmp_path)
    images = pixels(3, 1, 32, 32)
    names = {"images": images, "x": images[:, None]}
    for block in blocks:
        exec(block, names)
    assert names["engine"].input_shape == (1, 32, 32)
