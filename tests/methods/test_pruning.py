"""Pruning by magnitude: masks, rewinding, and weights that stay pruned, against plain loops."""

import itertools
import math
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from one_stage import stage_of
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.methods import gradual
from spiketicket.methods.building import build_network
from spiketicket.methods.masks import largest_masks
from spiketicket.methods.rounds import round_densities
from spiketicket.methods.stages import stages_of
from spiketicket.methods.states import load_tensors, masked, plain_state
from spiketicket.methods.weights import WeightStart, initial_weight
from spiketicket.models.prunable import prunable
from spiketicket.streams import Stream
from spiketicket.training.callback import Callback
from spiketicket.training.loop import fit
from spiketicket.training.optimizer import make_optimizer
from spiketicket.training.schedule import learning_rate

from .conftest import made


def oracle_masks(weights, density, scope, among=None):
    """By a stable sort in numpy; ``among`` are the masks that must stay within."""
    names = list(weights)
    flat = {n: np.abs(weights[n].numpy().astype(np.float64)).ravel() for n in names}
    if among is not None:
        for n in names:
            flat[n][~among[n].numpy().ravel()] = -1
    groups = [[n] for n in names] if scope == "layer" else [names]
    found = {}
    for group in groups:
        values = np.concatenate([flat[n] for n in group])
        kept = math.floor(density * len(values) + 0.5)
        mask = np.zeros(len(values), bool)
        mask[np.argsort(-values, kind="stable")[:kept]] = True
        ends = np.cumsum([flat[n].size for n in group])[:-1]
        for n, part in zip(group, np.split(mask, ends), strict=True):
            found[n] = torch.from_numpy(part.reshape(weights[n].shape))
    return found


def weights_in(state):
    return {
        k.removesuffix(".weight"): v
        for k, v in state.items()
        if k.endswith("synapse.weight") or k == "classifier.weight"
    }


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    density=st.floats(0.02, 1), scope=st.sampled_from(["layer", "global"]), seed=st.integers(0, 99)
)
def test_masks_keep_exactly_the_largest(density, scope, seed):
    random = np.random.default_rng(seed)
    # few distinct values, so that ties are met
    weights = {
        n: torch.from_numpy(random.integers(1, 9, shape).astype(np.float32))
        for n, shape in (("a", (7, 9)), ("b", (60,)))
    }
    expected = oracle_masks(weights, density, scope)
    if not all(m.any() for m in expected.values()):
        with pytest.raises(UserError):
            largest_masks(weights, density, scope)
        return
    found = largest_masks(weights, density, scope)
    assert all(torch.equal(found[n], expected[n]) for n in weights)


def test_a_layer_that_would_be_emptied_is_an_error_not_a_net():
    weights = {"a": torch.ones(50), "b": torch.full((50,), 0.1)}
    with pytest.raises(UserError, match=r"b: the global threshold removed every weight.*layer"):
        largest_masks(weights, 0.5, "global")
    assert largest_masks(weights, 0.5, "layer")["b"].sum() == 25


@given(density=st.floats(0.001, 0.999), share=st.floats(0.05, 0.9))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_rounds_end_at_the_density_and_a_lower_one_only_adds_rounds(density, share):
    found = round_densities(density, share, None)
    assert found[-1] == density
    assert all(a > b for a, b in zip((1.0, *found), found, strict=False))
    for before, after in zip((1.0, *found), found[:-1], strict=False):
        assert after == pytest.approx(before * (1 - share))
    assert found[-1] >= (1.0, *found)[-2] * (1 - share) * (1 - 1e-5)
    more = round_densities(density / 3, share, None)
    assert more[: len(found) - 1] == found[:-1]


def test_rounds_by_their_number_are_geometric():
    found = round_densities(0.125, 0.25, 3)
    assert found == pytest.approx((0.5, 0.25, 0.125))
    assert round_densities(0.75**3, 0.25, None) == pytest.approx((0.75, 0.75**2, 0.75**3))


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_magnitude_goes_on_from_the_trained_weights_under_their_largest(search, scope):
    s = search(made("magnitude", 0.3, options={"scope": scope}))
    s.train("pretrained")
    trained = load_tensors((s.folder / "pretrained" / "weights.safetensors").read_bytes())
    stage = s.prepare("ticket")
    assert stage.trainee.start_step == 0
    expected = oracle_masks(weights_in(trained), 0.3, scope)
    own = plain_state(stage.trainee.model)
    for name, (weight, mask) in masked(stage.trainee.model).items():
        assert torch.equal(mask, expected[name])
        assert torch.equal(weight, trained[f"{name}.weight"] * mask)
    for key in own:
        if "norm" in key:
            assert torch.equal(own[key], trained[key]), key
    assert own["features.0.norm.num_batches_tracked"] == 6


class PlainLoop:
    """Dense or masked training as a textbook has it, on the same batches."""

    def __init__(self, s, masks=None, state=None):
        recipe = s.recipe
        self.s, self.masks = s, masks
        self.model = build_network(recipe, s.experiment.shape)
        for name, layer in prunable(self.model).items():
            stream = Stream(s.seed, "weight", name)
            layer.weight.data = initial_weight(
                WeightStart("kaiming_normal"), layer.weight.shape, stream
            )
        if state is not None:
            self.model.load_state_dict({k: v for k, v in state.items() if "mask:" not in k})
        self.optimizer = make_optimizer(list(self.model.parameters()), recipe.train.weights)
        self.apply()

    def apply(self):
        for name, layer in prunable(self.model).items() if self.masks else ():
            layer.weight.data.mul_(self.masks[name])

    def run(self, start, end):
        s = self.s
        steps, train = s.batches.steps, s.recipe.train
        self.model.train()
        for done in range(start, end):
            epoch, step = divmod(done, steps)
            x, y = next(s.batches.epoch(epoch, step))
            factor = learning_rate(done, train.epochs * steps, train.warmup)
            self.optimizer.param_groups[0]["lr"] = train.weights.lr * factor
            self.optimizer.zero_grad()
            functional.cross_entropy(self.model(x), y).backward()
            for name, layer in prunable(self.model).items() if self.masks else ():
                layer.weight.grad.mul_(self.masks[name])
            self.optimizer.step()
            self.apply()
        return self.model.state_dict()


def same(one, other, exact=False):
    assert set(one) == {k for k in other if "mask:" not in k}
    for key in one:
        if exact:
            assert torch.equal(one[key], other[key]), key
        else:
            torch.testing.assert_close(one[key], other[key], rtol=1e-4, atol=1e-6, msg=key)


def test_a_round_of_imp_is_a_plain_loop_from_the_rewound_state(search):
    """BatchNorm's statistics, scale and shift are rewound as well, and the schedule goes on."""
    s = search(
        made("imp", 0.5, options={"rewind_step": 2}, model={"bn_affine": True, "timesteps": 2})
    )
    s.train("pretrained")
    rewound = load_tensors((s.folder / "pretrained" / "rewind.safetensors").read_bytes())
    early = PlainLoop(s).run(0, 2)
    same(early, rewound)
    assert rewound["features.0.norm.num_batches_tracked"] == 2
    assert not torch.equal(rewound["features.0.norm.running_mean"], torch.zeros(4))
    assert not torch.equal(rewound["features.0.norm.weight"], torch.ones(4))

    end = load_tensors((s.folder / "pretrained" / "weights.safetensors").read_bytes())
    masks = oracle_masks(weights_in(end), 0.75, "global")
    stage = s.prepare("round_1")
    assert stage.trainee.start_step == 2
    start = plain_state(stage.trainee.model)
    for name, mask in masks.items():
        assert torch.equal(start[f"{name}.weight"], rewound[f"{name}.weight"] * mask)
    same(
        {k: v for k, v in start.items() if "norm" in k},
        {k: v for k, v in rewound.items() if "norm" in k},
        exact=True,
    )

    s.train("round_1", stage)
    after = PlainLoop(s, masks, rewound).run(2, 6)
    same(after, plain_state(stage.trainee.model))
    for name, (weight, _) in masked(stage.trainee.model).items():
        assert not weight[~masks[name]].any()

    # the next round prunes among what is left, never bringing a weight back
    state = load_tensors((s.folder / "round_1" / "weights.safetensors").read_bytes())
    second = oracle_masks(weights_in(state), 0.75**2, "global", masks)
    found = {n: m for n, (_, m) in masked(s.prepare("round_2").trainee.model).items()}
    for name, mask in found.items():
        assert torch.equal(mask, second[name])
        assert not (mask & ~masks[name]).any()


def test_rewinding_to_the_start_needs_no_file_and_has_the_whole_schedule(search):
    s = search(made("imp", 0.75, options={"rewind_step": 0}))
    s.train("pretrained")
    assert not (s.folder / "pretrained" / "rewind.safetensors").exists()
    stage = s.prepare("ticket")
    fresh = PlainLoop(s).model.state_dict()
    own = plain_state(stage.trainee.model)
    assert stage.trainee.start_step == 0
    for name, (_, mask) in masked(stage.trainee.model).items():
        assert torch.equal(own[f"{name}.weight"], fresh[f"{name}.weight"] * mask)
    assert own["features.0.norm.num_batches_tracked"] == 0
    with pytest.raises(UserError, match=r"rewind_step.*before the last of the training's 6"):
        search(made("imp", 0.75, options={"rewind_step": 6})).prepare("pretrained")


def test_a_lost_file_of_an_earlier_stage_is_named(search):
    with pytest.raises(UserError, match=r"has lost its weights.*Delete"):
        search(made("magnitude")).prepare("ticket")


def test_new_random_weights_have_the_mask_of_imp(search):
    """The same mask, other weights, a BatchNorm that has seen nothing."""
    s = search(made("imp", 0.75, options={"rewind_step": 0}))
    s.train("pretrained")
    ticket = masked(s.prepare("ticket").trainee.model)
    s.recipe = made("random_reinit", 0.75, options={"rewind_step": 0})
    stage = s.prepare("ticket")
    for name, (weight, mask) in masked(stage.trainee.model).items():
        other, its_mask = ticket[name]
        assert torch.equal(mask, its_mask)
        assert not torch.equal(weight, other)
        std, its = (w.detach()[mask].std().item() for w in (weight, other))
        assert std == pytest.approx(its, rel=0.4)
    assert plain_state(stage.trainee.model)["features.0.norm.num_batches_tracked"] == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("weights", ["float", "binary"])
def test_gradual_pruning_follows_its_schedule_and_nothing_revives(search, optimizer, weights):
    s = search(
        made(
            "gradual",
            0.2,
            options={"interval": 2, "begin": 0.2, "end": 0.8},
            model={"weights": weights},
            train={"epochs": 4, "weights": {"name": optimizer, "lr": 0.05}},
        )
    )
    stage = s.prepare("ticket")
    size = sum(w.numel() for w, _ in masked(stage.trainee.model).values())
    counts, masks, kept = [], [], {}

    class Watch(Callback):
        def on_optimizer(self, optimizer):
            kept["optimizer"] = optimizer

        def on_step_end(self, epochs):
            layers = masked(stage.trainee.model)
            masks.append({n: m.clone() for n, (_, m) in layers.items()})
            counts.append(sum(int(m.sum()) for m in masks[-1].values()))
            for weight, mask in layers.values():
                assert not weight.detach()[~mask].any()
                for value in kept["optimizer"].state[weight].values():
                    if value.shape == weight.shape:
                        assert not value[~mask].any()

    from dataclasses import replace

    trainee = replace(stage.trainee, callbacks=(*stage.trainee.callbacks, Watch()))
    s.train("ticket", replace(stage, trainee=trainee))
    assert len(counts) == 12
    expected, density = [], 1.0
    for t in range(1, 13):
        if 2 <= t <= 10 and (t - 2) % 2 == 0:  # 0.2 * 12 and 0.8 * 12, rounded
            density = 0.2 + 0.8 * (1 - (t - 2) / 8) ** 3
        expected.append(math.floor(density * size + 0.5))
    assert counts == expected
    for before, after in itertools.pairwise(masks):
        assert not any((after[n] & ~before[n]).any() for n in before)
    schedule = gradual.Schedule(s.recipe.ticket, 4, 3)
    assert [schedule.is_complete(epoch) for epoch in range(4)] == [False, False, False, True]


def test_a_resumed_gradual_pruning_ends_with_the_same_weights(search, tmp_path, monkeypatch):
    from spiketicket.training import loop as train

    recipe = made(
        "gradual", 0.2, options={"interval": 1}, train={"epochs": 3, "checkpoint_steps": 1}
    )
    s = search(recipe)
    whole = plain_state(s.train("ticket").trainee.model)
    s.folder = tmp_path / "cut"
    saves = []
    save = train.checkpoint.save

    class Stop(Exception):
        pass

    def stop(*args, **named):
        save(*args, **named)
        saves.append(1)
        if len(saves) == 5:
            raise Stop

    monkeypatch.setattr(train.checkpoint, "save", stop)
    with pytest.raises(Stop):
        s.train("ticket")
    monkeypatch.undo()
    again = plain_state(s.train("ticket").trainee.model)
    assert all(torch.equal(whole[k], again[k]) for k in whole)


def epochs(recipe, count):
    return {stage.name: stage.epochs(recipe) for stage in stages_of(recipe)[:count]}


def test_a_total_budget_is_shared_by_the_trainings():
    recipe = made("imp", 0.4, options={"budget": "total"}, train={"epochs": 11})
    assert epochs(recipe, 5) == {
        "pretrained": 2,
        "round_1": 2,
        "round_2": 2,
        "round_3": 2,
        "ticket": 3,
    }
    timed = made(
        "early_time", 0.75, options={"budget": "total"}, train={"epochs": 8}, model={"timesteps": 3}
    )
    assert epochs(timed, 3) == {"probe": 2, "pretrained": 3, "ticket": 3}
    ramped = made(
        "magnitude",
        options={"budget": "total"},
        train={"epochs": 8, "timestep_ramp": [[4, 1]]},
        model={"timesteps": 2},
    )
    assert stage_of(ramped, "ticket").schedule(ramped).timestep_ramp == ((2, 1),)
    with pytest.raises(UserError, match=r"ticket.budget.*5 trainings, 4 epochs together"):
        stages_of(made("imp", 0.4, options={"budget": "total"}, train={"epochs": 4}))


def test_what_cannot_be_is_refused_before_anything_is_trained(search):
    for recipe, words in (
        (made("magnitude", 1e-6), "keeps no weight of the 1,?900 of the network|keeps no weight"),
        (made("magnitude", 0.01, options={"scope": "layer"}), "keeps no weight of the 36 of layer"),
        (made("early_time", model={"timesteps": 2}), "3 time steps or more"),
        (
            made(
                "early_time", model={"timesteps": 4}, train={"epochs": 4, "timestep_ramp": [[2, 1]]}
            ),
            "ramp of time steps",
        ),
        (made("early_time", model={"timesteps": 4}, train={"epochs": 1}), "stage probe"),
        (made("channels", model={"name": "resnet19", "width": 0.0625}), "vgg9 or resconv6"),
        (made("channels", model={"name": "resconv6", "shortcuts": True}), "shortcuts=false"),
    ):
        with pytest.raises(UserError, match=words):
            search(recipe)
    with pytest.raises(UserError, match="rounds and share"):
        made("imp", options={"rounds": 3, "share": 0.5})
    with pytest.raises(UserError, match="reads none of it"):
        made("early_time", options={"early_bird": {"masks": 3}})
    with pytest.raises(UserError, match="begin must be less"):
        made("gradual", options={"begin": 0.8})


def test_a_training_that_starts_late_counts_its_own_epochs(search):
    s = search(made("imp", 0.75, options={"rewind_step": 4}))
    s.train("pretrained")
    stage = s.prepare("ticket")
    from spiketicket.progress import NullReporter
    from spiketicket.training.loop import Training

    training = Training(
        title="ticket",
        seed=0,
        checkpoint=s.folder / "ticket" / "checkpoint.pt",
        log=s.folder / "ticket" / "log.jsonl",
        key="k",
    )
    fitted = fit(
        stage.trainee,
        s.batches,
        None,
        config=s.stages["ticket"].schedule(s.recipe),
        training=training,
        reporter=NullReporter(),
    )
    assert fitted.epochs == pytest.approx(2 / 3)
    assert [record["epoch"] for record in fitted.history] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("bn_affine", [None, True])
def test_the_dense_net_that_a_search_has_trained_is_not_trained_again(tmp_path, bn_affine):
    """It is what training it alone gives; where it is another net it is trained."""
    from spiketicket.experiment.find import find, train_dense

    controls = {"random_trained": False, "random_frozen": False}
    controls |= {} if bn_affine is None else {"bn_affine": bn_affine}
    recipe = made("magnitude", 0.5, controls=controls)
    found = find(recipe, runs_dir=tmp_path / "found", threads=1)
    alone = train_dense(recipe, runs_dir=tmp_path / "alone", threads=1)
    place = found.folder / "seed-0" / "dense"
    for name in ("model.ticket", "predictions.npy", "result.json"):
        assert (place / name).read_bytes() == (alone.files.path / name).read_bytes(), name
    assert found.stages["dense"][0].timing.get("shared", False) is (bn_affine is None)
    assert stage_of(recipe, "dense").same_as == ("pretrained" if bn_affine is None else "")
    for other in (
        made("early_time", model={"timesteps": 4}),
        made("imp", options={"budget": "total"}, train={"epochs": 9}),
    ):
        assert not stage_of(other, "dense").same_as


@pytest.mark.parametrize("file", ["log.jsonl", "predictions.npy"])
def test_a_training_that_stands_for_two_has_to_have_all_its_files(tmp_path, file):
    from spiketicket.experiment.find import find

    controls = {"random_trained": False, "random_frozen": False}
    recipe = made("magnitude", 0.5, controls=controls, train={"epochs": 1})
    place = find(recipe, runs_dir=tmp_path, threads=1).folder / "seed-0"
    shutil.rmtree(place / "dense")
    (place / "pretrained" / file).unlink()
    with pytest.raises(UserError, match=rf"pretrained/{file}: is missing. Delete .*pretrained to"):
        find(recipe, runs_dir=tmp_path, threads=1)
