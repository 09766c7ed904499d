"""The ladder of transformer tickets: its stages, what each of them holds, and how it resumes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from one_stage import names_of, prepared, scene_for, stage_of
from recipes import varied

from spiketicket.data import load_dataset
from spiketicket.data.batches import ordered_batches, to_tensors
from spiketicket.errors import UserError
from spiketicket.experiment.evaluate import evaluate_ticket
from spiketicket.experiment.find import find
from spiketicket.experiment.folder import SeedFolder
from spiketicket.experiment.setup import Context, Experiment
from spiketicket.methods import ladder
from spiketicket.methods.building import build_network
from spiketicket.methods.stages import condition, stages_of
from spiketicket.methods.weights import WeightStart, initial_weight
from spiketicket.models.blocks import DataShape
from spiketicket.models.of_ticket import from_ticket, to_ticket
from spiketicket.progress import NullReporter
from spiketicket.recipe import as_written, load_recipe, parse_recipe, to_dict
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, read_metadata
from spiketicket.ticket.zoo import find_ticket

pytestmark = pytest.mark.slow


BASE = {
    "name": "small",
    "data": {"name": "digits", "train_limit": 120},
    "model": {"name": "spikformer", "dim": 16, "depth": 1, "heads": 2, "pools": 1, "timesteps": 2},
    "neuron": {"name": "lif"},
    "ticket": {
        "name": "multisp",
        "density": 0.5,
        "keep": 0.5,
        "fine_tune_epochs": 1,
        "ranker": "selector",
    },
    "train": {"epochs": 2, "batch_size": 40, "tune": "off"},
}
SHAPE = DataShape(channels=1, height=8, width=8, classes=10)
CPU = torch.device("cpu")


def recipe(**sections):
    return varied(BASE, **sections)


def names(**sections):
    return names_of(recipe(**sections))


def layers(folder, stage, prefix="conv_pep."):
    ticket = Ticket.load(folder / stage / "model.ticket")
    return {x.name: x for x in ticket.layers if x.name.startswith(prefix)}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return find(recipe(), runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def seed(found):
    return found.folder / "seed-0"


def test_the_stages_of_a_whole_ladder_in_order():
    assert names() == (
        "selector",
        "dense",
        "patch",
        "patch_random",
        "patch_fixed",
        "patch_center",
        "patch_pixel_energy",
        "pepsp",
        "pepsp_random_trained",
        "pepsp_random_frozen",
        "multisp",
        "multisp_random_trained",
        "multisp_random_frozen",
        "multisp_finetuned",
        "multisp_finetune_control",
    )


def test_a_net_that_ranks_by_itself_needs_no_selector():
    own = recipe(ticket={"ranker": "own"})
    assert names_of(own) == names()[1:]
    for stage in stages_of(own):
        assert "selector" not in stage.needs
        model = build_network(own, SHAPE, stage.network(own))
        assert model.own == (model.config.ranking == "firing_rate")
        assert not [name for name in model.state_dict() if name.startswith("selector.")]
    auto = names(ticket={"ranker": "own", "score": "auto"})
    assert [n for n in auto if n.startswith("try_")] == ["try_firing_rate", "try_embedding_norm"]


def test_options_add_and_remove_stages():
    auto = names(ticket={"score": "auto"})
    assert [n for n in auto if n.startswith("try_")] == [
        "try_firing_rate",
        "try_embedding_norm",
        "try_attention_first",
        "try_attention_last",
    ]
    assert auto.index("selector") < auto.index("try_firing_rate") < auto.index("patch")
    staged = names(ticket={"search": "two_stage"})
    assert staged[staged.index("pepsp") - 1] == "pepsp_search"
    assert staged[staged.index("multisp") - 1] == "multisp_search"
    few = names(
        ticket={"fine_tune_epochs": 0, "patch_controls": ["random"], "rungs": ["patch", "pepsp"]},
        controls={"dense": False, "random_frozen": False},
    )
    assert few == ("selector", "patch", "patch_random", "pepsp", "pepsp_random_trained")
    assert names(ticket={"name": "patches", "density": 1.0})[-1] == "patch_finetune_control"


def test_multisp_with_the_networks_own_activation_is_not_run_twice():
    assert "pepsp" not in names(ticket={"activation": "lif"})


def test_condition_names_what_is_binary_and_what_is_float():
    assert condition(recipe()) == (
        "spiking spikformer, keep 0.5, binary ConvPEP at density 0.5, step inside it"
    )
    mixed = recipe(model={"weights": "float"}, ticket={"activation": "sign"})
    assert condition(mixed).endswith("float ConvPEP at density 0.5, sign inside it")
    lif = recipe(ticket={"activation": "lif"})
    assert condition(lif).endswith("binary ConvPEP at density 0.5, lif inside it")
    assert condition(recipe(ticket={"name": "patches", "density": 1})) == (
        "spiking spikformer, keep 0.5"
    )


def test_every_stage_has_its_own_facts(found):
    rows = {row["stage"]: row for row in json.loads(json.dumps(found.to_dict()))["stages"]}
    assert list(rows) == list(names())
    full, half = {"kept": 16, "of": 16}, {"kept": 8, "of": 16}
    for name, row in rows.items():
        whole = name in ("selector", "dense")
        assert row["tokens"] == (full if whole else half), name
        pep = name.startswith(("pepsp", "multisp"))
        assert row["conv_pep_density"] == pytest.approx(0.5 if pep else 1.0, abs=1e-3)
        assert row["activation"] == ("step" if name.startswith("multisp") else "as_neuron")
        learned = not whole and (name == "patch" or not name.startswith("patch"))
        assert ("selector" in row["operations"]) == learned
        assert row["ranking"] == ("firing_rate" if learned else row["ranking"])
        assert {"conv_pep", "encoder_linear", "attention", "head"} <= row["operations"].keys()
    assert rows["selector"]["trained_epochs"] == 1
    assert rows["dense"]["trained_epochs"] == rows["multisp"]["trained_epochs"] == 2
    assert rows["multisp_finetuned"]["trained_epochs"] == 1


def test_sparsity_against_the_module_and_against_the_whole_net(found):
    row = next(r for r in found.to_dict()["stages"] if r["stage"] == "pepsp")
    model = from_ticket(Ticket.load(found.folder / "seed-0" / "pepsp" / "model.ticket"))
    pep = sum(m.weight.numel() for m in model.conv_pep.modules() if hasattr(m, "stride"))
    pruned = pep - sum(
        int((m.weight != 0).sum()) for m in model.conv_pep.modules() if hasattr(m, "stride")
    )
    every = sum(p.numel() for p in model.parameters())
    assert row["conv_pep_density"] == pytest.approx(1 - pruned / pep)
    assert row["net_density"] == pytest.approx(1 - pruned / every)


def test_step_runs_conv_pep_once_and_has_half_the_dense_operations(found):
    rows = {row["stage"]: row for row in found.to_dict()["stages"]}
    lif, step = (rows[n]["operations"]["conv_pep"]["dense"] for n in ("pepsp", "multisp"))
    first = 8 * 8 * 9 * 2
    assert lif - first == 2 * (step - first)


def test_the_verdict_has_every_rung_with_its_own_controls(found):
    verdict = found.verdict
    assert list(verdict["rungs"]) == ["patch", "pepsp", "multisp"]
    compared = {rung: list(v["comparisons"]) for rung, v in verdict["rungs"].items()}
    assert compared == {
        "patch": ["dense", "patch_random", "patch_fixed", "patch_center", "patch_pixel_energy"],
        "pepsp": ["dense", "pepsp_random_trained", "pepsp_random_frozen"],
        "multisp": ["dense", "multisp_random_trained", "multisp_random_frozen"],
    }
    tuned = verdict["rungs"]["multisp"]["fine_tuning"]
    assert list(tuned) == ["multisp", "multisp_finetune_control"]
    assert verdict["outcome"] == verdict["rungs"]["multisp"]["outcome"]
    assert len(verdict["sentences"]) == 5
    assert verdict["sentences"][-1].startswith("One seed: no verdict.")


def test_the_final_ticket_is_the_last_rung_and_evaluates_to_what_it_states(found):
    (path,) = found.tickets
    assert Ticket.load(path).metadata["stage"] == "multisp"
    result = evaluate_ticket(path)
    assert result.test_accuracy == result.stated_accuracy


def test_every_file_alone_gives_the_stated_predictions(seed):
    dataset = load_dataset(recipe().data)
    x, y = to_tensors(dataset.test, CPU)
    for stage in sorted(seed.iterdir()):
        model = from_ticket(Ticket.load(stage / "model.ticket"))
        predicted = [
            model(images).argmax(1)
            for images, _ in ordered_batches(x, y, dataset.mean, dataset.std, 40)
        ]
        assert np.array_equal(torch.cat(predicted).numpy(), np.load(stage / "predictions.npy"))


def test_pepsp_keeps_untouched_random_signs_and_trains_the_encoder(seed):
    found = layers(seed, "pepsp")
    for name, layer in found.items():
        stream = Stream(0, "weight", name.removeprefix("conv_pep."))
        start = initial_weight(WeightStart("signed_constant"), layer.shape, stream)
        signs = np.sign(start.numpy())
        assert layer.kind == "binary"
        assert np.array_equal(layer.signs[layer.mask], signs[layer.mask])
    frozen = layers(seed, "pepsp_random_frozen")
    for name, layer in found.items():
        both = layer.mask & frozen[name].mask
        assert np.array_equal(layer.signs[both], frozen[name].signs[both])
        assert layer.kept == frozen[name].kept
        assert not np.array_equal(layer.mask, frozen[name].mask)
    (q,) = layers(seed, "pepsp", "encoder.blocks.0.q.").values()
    assert q.kind == "float"
    start = initial_weight(WeightStart("kaiming_normal"), q.shape, Stream(0, "weight", "x"))
    assert not np.allclose(q.values, start.numpy())


def test_the_trained_control_has_a_random_mask_and_other_weights(seed):
    trained, frozen = (layers(seed, f"multisp_random_{k}") for k in ("trained", "frozen"))
    for name, layer in trained.items():
        assert np.array_equal(layer.mask, frozen[name].mask)
    flipped = [
        float((x.signs[x.mask] != frozen[n].signs[x.mask]).mean()) for n, x in trained.items()
    ]
    assert max(flipped) > 0.2


def test_fine_tuning_keeps_the_mask_and_its_control_keeps_the_ticket(seed):
    before, tuned, control = (
        layers(seed, n) for n in ("multisp", "multisp_finetuned", "multisp_finetune_control")
    )
    for name, layer in before.items():
        assert np.array_equal(layer.mask, tuned[name].mask)
        assert np.array_equal(layer.mask, control[name].mask)
        assert np.array_equal(layer.signs, control[name].signs)
        assert layer.alpha == control[name].alpha
        assert tuned[name].kind == "binary"
    assert any(before[n].alpha != tuned[n].alpha for n in before)
    for stage in ("multisp_finetuned", "multisp_finetune_control"):
        (old,) = layers(seed, "multisp", "encoder.blocks.0.q.").values()
        (new,) = layers(seed, stage, "encoder.blocks.0.q.").values()
        assert not np.array_equal(old.values, new.values)


def test_the_selector_of_a_ticket_is_the_trained_one_and_never_moves(seed):
    trained = Ticket.load(seed / "selector" / "model.ticket").state()
    for stage in ("patch", "pepsp", "multisp", "multisp_finetuned"):
        state = Ticket.load(seed / stage / "model.ticket").state()
        inner = {k.removeprefix("selector."): v for k, v in state.items() if "selector." in k}
        assert inner
        for key, value in inner.items():
            assert np.array_equal(value, trained[key]), (stage, key)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Two-stage, chosen score, float ConvPEP, sign, isolated, trained BatchNorm in fine-tuning."""
    changed = recipe(
        model={"name": "sdt", "weights": "float", "execution": "isolated", "rescale": True},
        ticket={
            "search": "two_stage",
            "score": "auto",
            "activation": "sign",
            "fine_tune_bn_affine": True,
            "patch_controls": ["fixed"],
        },
        train={"epochs": 1},
        controls={"random_frozen": False},
    )
    return find(changed, runs_dir=tmp_path_factory.mktemp("other"))


@pytest.mark.slow
def test_two_stages_hand_on_mask_and_weights(other):
    folder = other.folder / "seed-0"
    for rung in ("pepsp", "multisp"):
        searched, used = layers(folder, f"{rung}_search"), layers(folder, rung)
        assert searched.keys() == used.keys()
        for name, layer in searched.items():
            assert layer.kind == "float"
            assert np.array_equal(layer.mask, used[name].mask)
            assert np.array_equal(layer.values, used[name].values)
    search = Ticket.load(folder / "pepsp_search" / "model.ticket")
    assert not [x.name for x in search.layers if x.name.startswith("encoder.blocks")]


@pytest.mark.slow
def test_fine_tuning_may_train_batchnorm(other):
    folder = other.folder / "seed-0"
    before = Ticket.load(folder / "multisp" / "model.ticket").tensors
    after = Ticket.load(folder / "multisp_finetuned" / "model.ticket").tensors
    assert "conv_pep.norms.0.weight" not in before
    assert not np.allclose(after["conv_pep.norms.0.weight"], 1)
    assert np.all(after["selector.conv_pep.norms.0.weight"] == 1)


@pytest.mark.slow
def test_auto_takes_the_best_score_on_validation(other):
    folder = other.folder / "seed-0"
    reached = {
        p.name.removeprefix("try_"): json.loads((p / "result.json").read_text())
        for p in folder.glob("try_*")
    }
    (used,) = {r["ranking"] for r in other.to_dict()["stages"] if r["stage"] == "patch"}
    best = max(r["validation_accuracy"] for r in reached.values())
    assert reached[used]["validation_accuracy"] == best


def test_auto_takes_the_earlier_of_equal_scores(tmp_path):
    for score, value in (
        ("firing_rate", 50.0),
        ("embedding_norm", 60.0),
        ("attention_first", 60.0),
        ("attention_last", 55.0),
    ):
        (tmp_path / f"try_{score}").mkdir()
        content = json.dumps({"validation_accuracy": value, "test_accuracy": 100 - value})
        (tmp_path / f"try_{score}" / "result.json").write_text(content)
    auto = recipe(ticket={"score": "auto"})
    chosen = ladder.chosen_score(scene_for(auto, "patch", SHAPE, tmp_path))
    assert chosen == "embedding_norm"


def test_short_stages_have_their_share_of_a_timestep_ramp(tmp_path):
    ramped = recipe(train={"epochs": 8, "timestep_ramp": [[6, 1]]}, ticket={"selector_share": 0.5})
    budgets = {
        name: stage_of(ramped, name).schedule(ramped)
        for name in ("selector", "dense", "patch_random")
    }
    assert budgets["selector"].epochs == 4
    assert budgets["selector"].timestep_ramp == ((3, 1),)
    assert budgets["dense"] == budgets["patch_random"] == ramped.train


class _StopAt(NullReporter):
    def __init__(self, stage, step):
        self.stage, self.stop, self.now = stage, step, ""

    def stage_started(self, name, seed, epochs, steps):
        self.now = name

    def step(self, epoch, step, *rest):
        if (self.now, epoch, step) == (self.stage, 1, self.stop):
            raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["patch_random", "pepsp"])
def test_a_stopped_stage_goes_on_as_if_it_had_not_stopped(stage, seed, tmp_path):
    one = recipe(train={"checkpoint_steps": 1})
    dataset = load_dataset(one.data)
    experiment = Experiment(recipe=one, dataset=dataset, device=CPU, precision="fp32")
    from spiketicket.experiment.stage import run_stage

    for name in ("whole", "stopped"):
        shutil.copytree(seed / "selector", tmp_path / name / "selector")
    made = stage_of(one, stage)

    def run(place, reporter):
        context = Context(reporter=reporter)
        return run_stage(experiment, made, 0, place, context, before=lambda *_: None)

    whole = run(SeedFolder(tmp_path / "whole"), NullReporter())
    stopped = SeedFolder(tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        run(stopped, _StopAt(made.title, 1))
    assert stopped.stage(stage).checkpoint.exists()
    again = run(stopped, NullReporter())
    for name in ("model.ticket", "predictions.npy", "result.json"):
        assert (whole.files.path / name).read_bytes() == (again.files.path / name).read_bytes(), (
            name
        )


@pytest.mark.parametrize("weights", ["binary", "float"])
@pytest.mark.parametrize("execution", ["drop", "zero_fill", "isolated"])
@pytest.mark.parametrize("model", ["spikformer", "sdt"])
def test_a_ticket_file_gives_exactly_the_same_logits(model, execution, weights, seed, tmp_path):
    made = recipe(
        model={"name": model, "execution": execution, "weights": weights},
        ticket={"score": "attention_last"},
    )
    selector = build_network(made, SHAPE)
    plain = prepared(made, "selector", SHAPE, tmp_path)
    (tmp_path / "selector").mkdir()
    to_ticket(plain.trainee.model, {"tokens": {"of": 16}}).save(
        tmp_path / "selector" / "model.ticket"
    )
    stage = prepared(made, "multisp", SHAPE, tmp_path)
    trained = stage.trainee.model
    x = torch.randn(6, 1, 8, 8)
    trained.train()
    trained(x)  # moves BatchNorm's statistics
    meta = {
        "network": {
            "name": model,
            "args": {
                "model": stage.model.model_dump(mode="json"),
                "neuron": made.neuron.model_dump(mode="json"),
                "shape": SHAPE.__dict__,
            },
        }
    }
    to_ticket(trained, meta).save(tmp_path / "a.ticket")
    loaded = from_ticket(Ticket.load(tmp_path / "a.ticket"))
    with torch.no_grad():
        assert torch.equal(loaded(x), trained.eval()(x))
    assert loaded.selector is not None
    assert type(selector) is type(loaded)


def test_a_selector_for_another_number_of_tokens_is_named(seed, tmp_path):
    shutil.copytree(seed / "selector", tmp_path / "selector")
    shape = DataShape(channels=1, height=16, width=16, classes=10)
    with pytest.raises(UserError, match="another number of tokens than 64"):
        prepared(recipe(), "patch", shape, tmp_path)
    wider = recipe(model={"dim": 32})
    with pytest.raises(UserError, match=r"for another network.*model\.ticket|model\.ticket.*for"):
        prepared(wider, "patch", SHAPE, tmp_path)


@pytest.mark.parametrize(
    ("sections", "where"),
    [
        ({"model": {"name": "convnet"}}, "ticket.name"),
        ({"model": {"keep": 0.5}}, "model"),
        ({"model": {"activation": "step"}}, "model"),
        ({"ticket": {"rungs": []}}, "ticket.rungs"),
        ({"model": {"ranker": "own"}}, "model"),
        ({"ticket": {"ranker": "own", "score": "attention_last"}}, "ticket.score"),
        ({"ticket": {"ranker": "own"}, "model": {"execution": "zero_fill"}}, "model.execution"),
    ],
)
def test_what_does_not_fit_is_named(sections, where):
    if sections.get("model", {}).get("name") == "convnet":
        base = {k: v for k, v in BASE.items() if k != "model"}
        made = parse_recipe({**base, "model": {"name": "convnet"}})
    else:
        made = recipe(**sections)
    with pytest.raises(UserError) as caught:
        stages_of(made)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"ticket": {"keep": 0.01}}, "leaves none of the 16 tokens"),
        ({"model": {"heads": 3}}, "must divide by 8 and by the 3 heads"),
        ({"model": {"pools": 4}}, "must be multiples of 16"),
        ({"model": {"width": 0.5}}, "size is its dim"),
        ({"ticket": {"density": 0.001}}, "keeps no weight of the 18 of layer conv_pep.convs.0"),
        ({"ticket": {"score": "attention_first"}, "model": {"depth": 0}}, "no block to read"),
        ({"train": {"weights": {"name": "sgd", "lr": 0.1}}}, "trained together need adamw"),
    ],
)
def test_a_network_that_cannot_be_is_named_before_anything_is_trained(sections, text, tmp_path):
    with pytest.raises(UserError, match=text):
        find(recipe(**sections), runs_dir=tmp_path)
    assert not list(Path(tmp_path).iterdir())


def test_a_masked_conv_pep_is_judged_with_fresh_statistics(tmp_path, seed):
    wanted = {}
    for stage in stages_of(recipe()):
        made = prepared(recipe(), stage.name, SHAPE, seed)
        wanted[stage.name] = made.trainee.fresh_statistics
    plain = {"selector", "dense"} | {n for n in wanted if n.startswith("patch")}
    assert {n for n, fresh in wanted.items() if not fresh} == plain


def test_the_ladders_step_fires_where_the_neuron_does_and_an_older_tickets_at_zero(seed):
    made = from_ticket(Ticket.load(seed / "multisp" / "model.ticket"))
    assert made.conv_pep.neurons[0].config.v_threshold == 1
    ticket = Ticket.load(seed / "multisp" / "model.ticket")
    meta = json.loads(json.dumps(ticket.metadata))
    del meta["network"]["args"]["model"]["step"]
    older = from_ticket(Ticket(ticket.layers, ticket.tensors, meta))
    assert older.conv_pep.neurons[0].config.v_threshold == 0


def test_a_ladder_that_does_not_name_its_ranker_had_a_selector_when_it_was_written():
    own = load_recipe("digits-multisp", ["train.tune=off"])
    tables = to_dict(own)
    del tables["ticket"]["ranker"]
    old = parse_recipe(as_written(tables))
    assert (own.ticket.ranker, old.ticket.ranker) == ("own", "selector")
    shipped = read_metadata(find_ticket("digits-multisp").path)
    assert old.hash == shipped["recipe_hash"] != own.hash
