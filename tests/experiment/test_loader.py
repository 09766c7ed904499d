"""What ``search`` takes for a batch, and what it refuses in a sentence."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset

import spiketicket
from spiketicket.errors import UserError
from spiketicket.experiment.loader import Loader
from spiketicket.recipe import parse_recipe

_draw = torch.Generator().manual_seed(0)
X, Y = torch.rand(32, 1, 4, 4, generator=_draw), torch.randint(4, (32,), generator=_draw)
BATCHES = list(zip(X.split(16), Y.split(16), strict=True))


def net(outputs=4):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs)
    )


def search(loader, validation=None, model=None):
    return spiketicket.search(model or net(), loader, validation=validation, epochs=2)


def one_hot(y):
    return nn.functional.one_hot(y, 4)


SAME = {
    "int32": lambda x, y: (x, y.int()),
    "uint8": lambda x, y: (x, y.byte()),
    "a list of classes": lambda x, y: [x, y.tolist()],
    "a column": lambda x, y: (x, y[:, None]),
    "one-hot": lambda x, y: (x, one_hot(y)),
    "one-hot as floats": lambda x, y: (x, one_hot(y).float()),
    "numpy": lambda x, y: (x.numpy(), y.numpy()),
    "float64 inputs": lambda x, y: (x.double().numpy(), y.int().numpy()),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAME)
def test_batches_as_people_have_them_give_the_same_ticket(kind):
    changed = [SAME[kind](x, y) for x, y in BATCHES]
    assert search(changed, changed) == search(BATCHES, BATCHES)


REFUSED = {
    "float": (lambda x, y: (x, y.float()), r"classes must be whole.*torch\.float32.*y\.long\(\)"),
    "soft": (lambda x, y: (x, one_hot(y) * 0.9), r"or one-hot \[B, 4\].*\[16, 4\]"),
    "from 1": (
        lambda x, y: (x, y + 1),
        r"from 0 to 3: the network has 4 outputs \(got 4\).*from 0",
    ),
    "-1": (lambda x, y: (x, y - 1), r"from 0 to 3.*\(got -1\)\. Leave samples without a class"),
    "all ignored": (lambda x, y: (x, y * 0 - 100), r"\(got -100\)"),
    "dict": (lambda x, y: {"x": x, "y": y}, r"is a dict.*\['x', 'y'\].*collate_fn"),
    "triple": (
        lambda x, y: (x, y, {"id": 0}),
        r"a pair \(inputs, classes\), not one of 3.*collate",
    ),
    "tensor": (lambda x, y: x, r"a pair \(inputs, classes\), not a Tensor"),
    "list of inputs": (lambda x, y: (list(x), y), r"inputs must be a tensor \(got 'list'\)"),
    "words": (lambda x, y: (x, ["cat"] * len(y)), r"classes must be a tensor: ValueError"),
    "one sample": (lambda x, y: (x[0], y[0]), r"is a single sample.*DataLoader\(data"),
    "no sample": (lambda x, y: (x[:0], y[:0]), r"has no sample"),
    "sparse": (lambda x, y: (x.to_sparse(), y), r"inputs must be a dense.*sparse_coo.*to_dense"),
    "sparse classes": (lambda x, y: (x, y.to_sparse()), r"classes must be a dense tensor"),
    "no values": (lambda x, y: (x.to("meta"), y), r"inputs have no values"),
    "NaN": (lambda x, y: (x / 0, y), r"inputs hold NaN or infinity"),
    "fewer classes": (lambda x, y: (x, y[:-2]), r"not as many inputs as classes.*\[14\]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("place", ["loader", "validation"])
def test_other_batches_are_refused_with_the_remedy(kind, place):
    make, message = REFUSED[kind]
    changed = [BATCHES[0], make(*BATCHES[1])]
    given = (changed, None) if place == "loader" else (BATCHES, changed)
    with pytest.raises(UserError, match=rf"^{place}, batch 1: .*{message}"):
        search(*given)


class Once:
    """Its iterator is always the same one."""

    def __init__(self, batches):
        self.left, self.length = iter(batches), len(batches)

    def __len__(self):
        return self.length

    def __iter__(self):
        return self.left


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(x, int(y)) for x, y in zip(X, Y, strict=True)])


class Sized(Stream):
    def __len__(self):
        return len(X)


class Wrong(Stream):
    def __len__(self):
        return 2 * len(X)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (lambda: (batch for batch in BATCHES), r"can be gone through once only.*'generator'"),
        (lambda: iter(BATCHES), r"can be gone through once only.*list of batches"),
        (lambda: DataLoader(Stream(), 8), r"must have a length"),
        (
            lambda: Once(BATCHES),
            r"gave 1 batches in epoch 0, and has 2 by its length\. It must start",
        ),
        (lambda: DataLoader(Wrong(), 16), r"gave 2 batches in epoch 0, and has 4 by its length"),
        (lambda: TensorDataset(X, Y), r"batch 0: is a single sample"),
        (list, r"the loader has no batch"),
    ],
)
def test_loaders_that_cannot_be_gone_through_every_epoch_are_refused(loader, message):
    with pytest.raises(UserError, match=rf"^loader(, batch 0)?: .*{message}|^loader, {message}"):
        search(loader())


@pytest.mark.parametrize("validation", [lambda: iter(BATCHES), lambda: Once(BATCHES[:1]), list])
def test_a_validation_is_gone_through_every_epoch_too(validation):
    with pytest.raises(UserError, match=r"^validation: (can be gone|the loader has no batch)"):
        search(BATCHES, validation())


def test_streams_with_a_length_are_taken_and_a_validation_needs_none():
    search(DataLoader(Sized(), 16), DataLoader(Stream(), 16))


def test_a_last_batch_of_one_is_refused_where_batchnorm_has_no_statistics():
    last = [*BATCHES, (X[:1], Y[:1])]
    for batches in (last, last[-1:]):
        with pytest.raises(
            UserError, match=r"batch of one sample has no BatchNorm.*drop_last=True"
        ):
            search(batches)
    search(BATCHES, last)  # in a validation it is one like others
    search(
        last,
        model=nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 4)),
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: net().bfloat16(), r"^1\.weight: a search .*bfloat16.*net\.float\(\)"),
        (lambda: net().double(), r"^1\.weight: a search computes in float32.*float64"),
        (lambda: torch.jit.script(net()), r"^RecursiveScriptModule: is a TorchScript .*scripted"),
        (lambda: nn.Sequential(torch.jit.trace(net().eval(), X), nn.Linear(4, 4)), r"^0: is a Tor"),
        (lambda: net(3), r"from 0 to 2: the network has 3 outputs \(got 3\)"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_networks_that_do_not_fit_are_refused(model, message):
    with pytest.raises(UserError, match=message):
        search(BATCHES, model=model())


def test_a_buffer_that_no_ticket_can_hold_is_refused_before_the_search():
    model = net()
    model.register_buffer("level", torch.zeros(2, dtype=torch.bfloat16))
    with pytest.raises(UserError, match=r"^level: a ticket cannot hold it .*bfloat16"):
        search(BATCHES, model=model)


def test_a_batch_of_another_shape_or_type_is_no_traceback():
    other = (torch.rand(16, 1, 4, 5), Y[:16])
    pixels = ((255 * X[:16]).byte(), Y[:16])
    with pytest.raises(UserError, match=r"^Sequential: fails in forward: .*\[16, 1, 4, 5\]"):
        search([*BATCHES, other])
    with pytest.raises(UserError, match=r"^Sequential: fails in forward: .*torch\.uint8 \[16"):
        search(BATCHES, [pixels])


class Augmented(TensorDataset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + random.random() + float(np.random.rand()) + torch.rand(()), y  # noqa: NPY002


def test_looking_into_a_loader_moves_no_random_numbers():
    draw = torch.Generator().manual_seed(3)
    loader = DataLoader(Augmented(X, Y), 16, shuffle=True, generator=draw)

    def states():
        numpy = np.random.get_state()  # noqa: NPY002
        return random.getstate(), numpy[1].tolist(), numpy[2], draw.get_state().tolist()

    before = states()
    Loader(source=loader, where="loader", seed=0).first()
    assert states() == before


def test_the_generator_of_a_sampler_is_seeded_too():
    draw = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(X, Y), 16, sampler=RandomSampler(X, generator=draw))
    first = search(loader)
    assert search(loader) == first, "whatever the sampler has drawn before"


MODULE = """
from torch import nn
def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
"""


def test_find_refuses_batches_of_one_before_it_has_a_folder(tmp_path, monkeypatch):
    (tmp_path / "net_of_batches_of_one.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    recipe = parse_recipe(
        {
            "name": "one",
            "data": {"name": "digits"},
            "neuron": {"name": "custom"},
            "model": {"name": "net_of_batches_of_one:build"},
            "ticket": {"name": "edge_popup", "density": 0.5},
            "train": {"epochs": 1, "batch_size": 1, "tune": "off"},
        }
    )
    with pytest.raises(UserError, match=r"batch of one sample has no BatchNorm.*train\.batch_size"):
        spiketicket.find(recipe, runs_dir=tmp_path / "runs", network="net_of_batches_of_one:build")
    assert not (tmp_path / "runs").exists()
