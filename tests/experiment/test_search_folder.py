"""A folder of ``search``: a call with other values than those it was begun with is refused."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import spiketicket
from spiketicket.errors import UserError
from spiketicket.experiment.described import describe
from spiketicket.progress import NullReporter

_draw = torch.Generator().manual_seed(0)
X, Y = torch.rand(32, 1, 4, 4, generator=_draw), torch.randint(4, (32,), generator=_draw)
SCALE = 1.0


class Net(nn.Module):
    def __init__(self, bias=0.0, steps=2, act=torch.relu):
        super().__init__()
        self.steps, self.act = steps, act
        self.a, self.b = nn.Linear(16, 8), nn.Linear(8, 4)
        for layer in (self.a, self.b):
            nn.init.constant_(layer.bias, bias)

    def forward(self, x):
        return torch.stack([self.b(self.act(self.a(x.flatten(1))))] * self.steps)


class OtherForward(Net):
    def forward(self, x):
        return 2 * super().forward(x)


def loader(x=X, y=Y, batch=16, **options):
    return DataLoader(TensorDataset(x, y), batch, **options)


def search(folder, model=None, batches=None, **options):
    given = {"validation": loader(), "epochs": 1, "logits": average, **options}
    return spiketicket.search(model or Net(), batches or loader(), folder=folder, **given)


def average(output):
    return output.mean(0)


def scaled(output):
    return SCALE * output.mean(0)


def changed(tensor):
    other = tensor.clone()
    other[-1] = (other[-1] + 1) % 4
    return other


OTHER = {
    "bias": (lambda: {"model": Net(bias=0.5)}, r"state\.a\.bias, state\.b\.bias\."),
    "an attribute": (lambda: {"model": Net(steps=3)}, r"network\.itself\."),
    "a function": (lambda: {"model": Net(act=torch.tanh)}, r"network\.itself\."),
    "forward": (
        lambda: {"model": OtherForward()},
        r"network\.itself \(Net there, OtherForward here",
    ),
    "inputs": (lambda: {"batches": loader(x=changed(X))}, r"loader\.inputs\."),
    "labels": (lambda: {"batches": loader(y=changed(Y))}, r"loader\.classes\."),
    "batch size": (
        lambda: {"batches": loader(batch=8)},
        r"loader\.batches \(2 of 16 there, 4 of 8 here\)\.",
    ),
    "order": (lambda: {"batches": loader(shuffle=True)}, r"loader\.inputs, loader\.classes\."),
    "fewer batches": (
        lambda: {"batches": loader(X[:16], Y[:16])},
        r"loader\.batches \(2 of 16 there, 1 of 16 here\), loader\.inputs, loader\.classes\.",
    ),
    "validation": (lambda: {"validation": loader(y=changed(Y))}, r"validation\.classes\."),
    "no validation": (lambda: {"validation": None}, r"validation \(given there, none here\)"),
    "logits": (
        lambda: {"logits": lambda output: output.sum(0)},
        r"logits \(average there, <lambda>",
    ),
    "a lambda's constant": (
        lambda: {"logits": lambda output: 2 * output.mean(0)},
        r"logits \(average there, <lambda>",
    ),
    "a default": (
        lambda: {"logits": lambda output, k=0: output.mean(k)},
        r"logits \(average there, <lambda>",
    ),
    "a partial": (
        lambda: {"logits": functools.partial(torch.mean, dim=0)},
        r"logits \(average there, partial here\)",
    ),
    "usual logits": (lambda: {"logits": None}, r"logits \(average there, averaged over"),
    "leave": (lambda: {"leave": ("a",)}, r"leave \(\[\] there, \['a'\] here\)"),
    "seed": (lambda: {"seed": 1}, r"seed \(0 there, 1 here\)"),
    "density": (lambda: {"density": 0.25}, r"method\.density \(0\.5 there, 0\.25 here\)"),
    "epochs": (lambda: {"epochs": 2}, r"train\.epochs \(1 there, 2 here\)"),
    "rate": (lambda: {"lr": 0.1}, r"train\.scores\.lr \(0\.02 there, 0\.1 here\)"),
    "option": (lambda: {"options": {"scope": "global"}}, r"method\.scope \(layer there, global"),
    "norms": (lambda: {"train_norms": True}, r"train_norms \(False there, True here\)"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, search(folder)


def test_the_same_call_gives_the_same_ticket(finished):
    folder, ticket = finished
    assert search(folder) == ticket == search(None)


def test_weights_that_the_search_draws_anew_decide_nothing(finished):
    folder, ticket = finished
    torch.manual_seed(99)
    assert search(folder, model=Net()) == ticket


@pytest.mark.slow
@pytest.mark.parametrize("what", OTHER)
def test_a_call_with_other_values_is_refused_with_what_differs(what, finished):
    folder, ticket = finished
    make, message = OTHER[what]
    before = {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match=rf"holds another search, which differs in .*{message}"):
        search(folder, **make())
    with pytest.raises(UserError, match=r"Give another folder, or delete this one$"):
        search(folder, **make())
    assert {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert search(folder) == ticket


def test_an_interrupted_search_does_not_go_on_with_other_data(tmp_path):
    class Stop(Exception):
        pass

    class Interrupter(NullReporter):
        def __getattribute__(self, name):
            def call(*args):
                if name == "step" and args[0] == 1:
                    raise Stop

            return call

    with pytest.raises(Stop):
        search(tmp_path, epochs=2, reporter=Interrupter(), validation=None)
    with pytest.raises(UserError, match=r"differs in loader\.inputs\."):
        search(tmp_path, batches=loader(x=changed(X)), epochs=2, validation=None)
    assert search(tmp_path, epochs=2, validation=None) == search(None, epochs=2, validation=None)


def test_a_global_value_that_logits_use_is_seen(tmp_path, monkeypatch):
    search(tmp_path, logits=scaled)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
    with pytest.raises(UserError, match=r"differs in logits\."):
        search(tmp_path, logits=scaled)


def test_logits_that_nobody_can_tell_apart_are_refused(tmp_path):
    draw = torch.Generator()

    def logits(output):
        return output.mean(0) + 0 * torch.rand((), generator=draw)

    with pytest.raises(UserError, match=r"^logits: cannot be told.*Generator.*Leave folder out"):
        search(tmp_path, logits=logits)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_list_of_what_decides_is_an_error(tmp_path):
    search(tmp_path)
    (tmp_path / "search.json").write_text("[" * 100)
    with pytest.raises(UserError, match=r"search\.json: is damaged"):
        search(tmp_path)
    (tmp_path / "search.json").write_text("[]")
    with pytest.raises(UserError, match=r"holds another search"):
        search(tmp_path)
    (tmp_path / "search.json").unlink()
    search(tmp_path)


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be written"):
        search(tmp_path / "file")


class Holder:
    def __init__(self, value):
        self.value = value

    def __call__(self, output):
        return output[self.value]


def closing_over(value):
    return lambda output: output[value]


@pytest.mark.parametrize(
    "make",
    [
        Holder,
        closing_over,
        lambda v: Holder(v).__call__,
        lambda v: functools.partial(Holder(0), v),
        lambda v: closing_over(np.arange(v)),
        lambda v: closing_over({"k": (v, {v})}),
        lambda v: closing_over(torch.full((2,), v)),
        lambda v: closing_over(closing_over(v)),
        lambda v: nn.Sequential(nn.Threshold(v, 0)),
        lambda v: closing_over(np.float32(v)),
        lambda v: eval(f"lambda output: [o + {v} for o in output]"),
        lambda v: torch.float32 if v else 1,
    ],
)
def test_what_is_described_is_what_is_computed_with(make):
    assert describe(make(1), strict=True) == describe(make(1), strict=True)
    assert describe(make(1), strict=True) != describe(make(0), strict=True)


@pytest.mark.slow
def test_a_description_is_the_same_in_every_process():
    program = (
        "import test_search_folder as t; from spiketicket.experiment.described import describe;"
        "print(describe([t.Net, t.Holder(3), t.scaled,"
        " t.closing_over({'a', 'b', 'c'})], strict=False))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert json.dumps(said.pop().strip()).isascii()


def test_layers_to_leave_are_the_same_in_any_order(tmp_path):
    net = Net()
    found = search(tmp_path, net, leave={"b"})
    for leave in (["b"], ("b", "b"), (name for name in "b")):
        assert search(tmp_path, net, leave=leave).digest() == found.digest()
