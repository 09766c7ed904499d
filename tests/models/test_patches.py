"""Which patches are kept, and that nothing of the others gets through."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spiketicket.data.batches import TrainBatches, ordered_batches
from spiketicket.errors import UserError
from spiketicket.measure.observe import observed
from spiketicket.models import sdt, spikformer
from spiketicket.models.blocks import DataShape
from spiketicket.models.patches import PlainRanking, kept_tokens, top_tokens
from spiketicket.neurons import lif
from spiketicket.recipe.shapes import OWN_SCORES, SCORES
from spiketicket.streams import SampleIds, announced, share
from spiketicket.training.evaluate import evaluate

SHAPE = DataShape(channels=2, height=16, width=16, classes=5)
SMALL = {"dim": 16, "depth": 2, "heads": 2, "pools": 2, "timesteps": 2}


def build(module=spikformer, **options):
    torch.manual_seed(0)
    config = module.Config(**{**SMALL, **options})
    model = module.build(config, lif.Config(), SHAPE)
    draw = torch.Generator().manual_seed(1)
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(-0.2, 0.1, generator=draw)
            norm.running_var.uniform_(0.05, 0.3, generator=draw)
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(6, 2, 16, 16, generator=torch.Generator().manual_seed(2))


@given(st.integers(1, 400), st.decimals("0.0001", "1", places=4))
def test_k_is_rounded_half_up(tokens, keep):
    exact = Fraction(keep) * tokens
    expected = math.floor(exact + Fraction(1, 2))
    if expected < 1:
        with pytest.raises(UserError, match="leaves none"):
            kept_tokens(tokens, float(keep))
    else:
        assert kept_tokens(tokens, float(keep)) == expected


def test_published_counts():
    assert [kept_tokens(64, k) for k in (0.69, 0.62, 0.5)] == [44, 40, 32]


@given(st.lists(st.integers(0, 3), min_size=8, max_size=8), st.integers(1, 8))
def test_ids_are_the_largest_scores_in_the_order_of_their_places(scores, k):
    ids = top_tokens(torch.tensor([scores], dtype=torch.float32), k)[0].tolist()
    assert ids == sorted(set(ids))
    assert len(ids) == k
    assert sorted((scores[i] for i in ids), reverse=True) == sorted(scores, reverse=True)[:k]


def test_pixel_energy_is_the_variation_around_the_images_mean(images):
    ranking = PlainRanking("pixel_energy", (4, 4), 0)
    scores = ranking(images.unsqueeze(0))
    for b, image in enumerate(images):
        energy = []
        for row in range(4):
            for column in range(4):
                total = 0.0
                for channel in image:
                    patch = channel[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                    total += float((patch - channel.mean()).square().sum())
                energy.append(total)
        torch.testing.assert_close(scores[b] * 16, torch.tensor(energy), rtol=1e-4, atol=1e-4)


def test_center_prefers_the_middle(images):
    ids = top_tokens(PlainRanking("center", (4, 4), 0)(images.unsqueeze(0)), 4)
    assert ids.tolist() == [[5, 6, 9, 10]] * 6


def test_a_fixed_set_is_one_for_all_and_another_for_each_seed(images):
    x = images.unsqueeze(0)
    ids = [top_tokens(PlainRanking("fixed", (4, 4), seed)(x), 8) for seed in range(4)]
    assert all(bool((i == i[0]).all()) for i in ids)
    assert len({tuple(i[0].tolist()) for i in ids}) == 4


def test_random_is_fresh_in_training_and_the_same_in_every_test(images):
    ranking, x = PlainRanking("random", (4, 4), 0), images.unsqueeze(0)
    first, second = ranking(x), ranking(x)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    resumed = PlainRanking("random", (4, 4), 0)
    resumed.load_state_dict(ranking.state_dict())
    assert torch.equal(resumed(x), ranking(x))
    assert torch.equal(ranking.eval()(x), ranking(x))


def drawn(ids, epoch, seed=0):
    """Scores of these samples."""
    ranking = PlainRanking("random", (4, 4), seed).train(epoch is not None)
    with announced(SampleIds(np.array(ids), epoch)):
        return ranking(torch.zeros(2, len(ids), 2, 16, 16))


@pytest.mark.parametrize("epoch", [None, 0, 3])
def test_random_is_drawn_for_the_sample_and_not_for_its_place(epoch):
    together = drawn([4, 9, 2, 7], epoch)
    assert torch.equal(drawn([7, 2], epoch), together[[3, 2]])
    assert torch.equal(drawn([9], epoch), together[1:2])
    assert len({tuple(row.tolist()) for row in together}) == 4
    assert not torch.equal(drawn([4], epoch), drawn([4], 4))
    assert not torch.equal(drawn([4], epoch), drawn([4], epoch, seed=1))


def test_processes_that_share_a_batch_draw_what_one_alone_does():
    ranking = PlainRanking("random", (4, 4), 0)
    with announced(SampleIds(np.array([4, 9, 2, 7]), 1)):
        alone = ranking(torch.zeros(2, 4, 2, 16, 16))
        shares = []
        for rows in (slice(0, 2), slice(2, 4)):
            with share(rows):
                shares.append(ranking(torch.zeros(2, 2, 2, 16, 16)))
    assert torch.equal(torch.cat(shares), alone)


def test_the_accuracy_of_random_patches_does_not_depend_on_the_size_of_batches(images):
    model, labels = build(ranking="random", keep=0.25), torch.arange(6) % 5
    results = [
        evaluate(model, ordered_batches(images, labels, [0, 0], [1, 1], size)) for size in (1, 4, 6)
    ]
    for result in results[1:]:
        assert torch.equal(result.predictions, results[0].predictions)
        assert result.loss == pytest.approx(results[0].loss, rel=1e-5)


def test_random_patches_of_a_training_batch_are_those_of_its_samples(images):
    images = (images.abs() * 50).clamp(0, 255).to(torch.uint8)
    seen = []
    for size in (2, 3):
        batches = TrainBatches(
            x=images, y=torch.arange(6), mean=[0, 0], std=[1, 1], batch_size=size, seed=0
        )
        ranking = PlainRanking("random", (4, 4), 0)
        for epoch in (0, 1):
            scores = {
                int(i): row
                for x, y in batches.epoch(epoch)
                for i, row in zip(y, ranking(x.unsqueeze(0)), strict=True)
            }
            seen.append(torch.stack([scores[i] for i in range(6)]))
        assert int(ranking.draws) == 0
    first, second, again, _ = seen
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("module", [spikformer, sdt])
@pytest.mark.parametrize("score", SCORES)
def test_scores_are_those_of_explicit_loops(module, score, images):
    model = build(module, ranking=score, keep=0.5)
    frames, selector = images.unsqueeze(0), model.selector
    with torch.no_grad():
        ranked = selector.rank(frames, 2)
        tokens = selector.conv_pep(frames, 2).flatten(3).transpose(2, 3)
        if score == "firing_rate" and module is sdt:
            from spiketicket.neurons.lif import simulate

            expected = simulate(tokens, lif.Config()).mean((0, 3))
        elif score == "firing_rate":
            expected = tokens.mean((0, 3))
        elif score == "embedding_norm":
            expected = tokens.mean(0).norm(dim=-1)
        else:
            blocks = list(selector.blocks)
            assert len(blocks) == (1 if score == "attention_first" else 2)
            for block in blocks[:-1]:
                tokens = block(tokens, 2)
            expected = columns(blocks[-1], tokens, module)
    torch.testing.assert_close(ranked, expected, rtol=1e-4, atol=1e-4)
    assert ranked.std() > 0


def columns(block, tokens, module):
    """For every token, how much all queries attend to it; for sdt its part of sum(k * v)."""
    found = torch.zeros(tokens.shape[1:3])
    if module is sdt:
        s = block.first(tokens)
        k, v = block.k(s, 2), block.v(s, 2)
        return (k * v).sum((0, 3))
    q, k = block.q(tokens, 2), block.k(tokens, 2)
    size = q.shape[-1] // block.heads
    for t in range(2):
        for head in range(block.heads):
            part = slice(head * size, (head + 1) * size)
            found += (q[t, :, :, part] @ k[t, :, :, part].transpose(1, 2)).sum(1)
    return found


@pytest.mark.parametrize("module", [spikformer, sdt])
@pytest.mark.parametrize("score", OWN_SCORES)
def test_a_net_ranks_by_its_own_tokens_and_runs_its_encoder_on_the_best_alone(
    module, score, images
):
    model = build(module, ranking=score, ranker="own", keep=0.5)
    selected = build(module, ranking=score, keep=0.5)
    assert model.selector is None
    selected.selector.conv_pep.load_state_dict(model.conv_pep.state_dict())
    frames, seen = images.unsqueeze(0), []
    with torch.no_grad():
        ids = top_tokens(selected.selector.rank(frames, 2), 8)
        assert torch.equal(model.choose(frames, 2), ids)
        tokens = model.conv_pep(frames, 2).flatten(3).transpose(2, 3)
        model.encoder.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        model(images)
    index = ids.unsqueeze(-1).expand(len(tokens), -1, -1, 16)
    assert torch.equal(seen[0], tokens.gather(2, index).expand(2, -1, -1, -1))


def test_without_a_membrane_conv_pep_and_the_ranking_run_once_for_a_static_picture(images):
    model = build(ranking="firing_rate", ranker="own", keep=0.5, activation="step", timesteps=4)
    with observed(model) as seen:
        model(images)
    calls = {layer.name: layer.calls for layer in seen.operations().layers}
    assert {n: c for n, c in calls.items() if n.startswith("conv_pep.")} == dict.fromkeys(
        (n for n in calls if n.startswith("conv_pep.")), 1
    )
    assert calls["encoder.blocks.0.fc1.linear"] == 4
    assert not [name for name in calls if "selector" in name]


@pytest.mark.parametrize(
    ("options", "where", "text"),
    [
        ({"ranking": "attention_last"}, "model.ranking", "has firing_rate, embedding_norm"),
        ({"ranking": "firing_rate", "execution": "isolated"}, "model.execution", "whole image"),
        ({"ranking": "firing_rate", "execution": "zero_fill"}, "model.execution", "whole image"),
    ],
)
def test_what_a_net_cannot_rank_by_itself_is_named_with_what_it_can(options, where, text):
    with pytest.raises(UserError, match=text) as caught:
        build(ranker="own", keep=0.5, **options)
    assert caught.value.where == where


def test_the_selector_is_never_trained(images):
    model = build(ranking="attention_last", keep=0.5)
    before = {k: v.clone() for k, v in model.selector.state_dict().items()}
    model.train()
    assert not any(m.training for m in model.selector.modules())
    model(images).square().sum().backward()
    assert all(torch.equal(v, before[k]) for k, v in model.selector.state_dict().items())
    assert all(p.grad is None for p in model.selector.parameters())
    assert all(p.grad is not None for p in model.encoder.parameters())


def test_the_same_patches_are_kept_at_every_step(images):
    model = build(ranking="firing_rate", keep=0.5, timesteps=3)
    frames = images.unsqueeze(0).expand(3, *images.shape) + torch.randn(3, 6, 2, 16, 16)
    with torch.no_grad():
        ids = model.choose(frames, 3)
        whole = model._tokens(frames, 3)
        kept = model.embed(frames, ids, 3)
    assert ids.shape == (6, 8)
    for t in range(3):
        for b in range(6):
            assert torch.equal(kept[t, b], whole[t, b, ids[b]])


@pytest.mark.parametrize("module", [spikformer, sdt])
def test_keeping_everything_is_the_whole_net(module, images):
    dense, kept = build(module), build(module, ranking="center", keep=1.0)
    kept.load_state_dict(dense.state_dict())
    with torch.no_grad():
        assert torch.equal(dense(images), kept(images))


def test_the_head_averages_over_the_kept_tokens(images):
    model = build(ranking="center", keep=0.25, depth=0)
    with torch.no_grad():
        tokens = model._tokens(images.unsqueeze(0), 2)[:, :, [5, 6, 9, 10]]
        expected = model.encoder.head(tokens.mean((0, 2)))
        torch.testing.assert_close(model(images), expected)


def dropped_changed(images):
    """The images with other pixels everywhere but in the four patches of the middle."""
    other = torch.randn_like(images)
    other[:, :, 4:12, 4:12] = images[:, :, 4:12, 4:12]
    return other


@pytest.mark.parametrize(
    ("execution", "leaks"), [("drop", True), ("zero_fill", False), ("isolated", False)]
)
def test_dropped_pixels_reach_the_logits_only_through_conv_pep(execution, leaks, images):
    model = build(ranking="center", keep=0.25, execution=execution)
    with torch.no_grad():
        same = torch.equal(model(images), model(dropped_changed(images)))
    assert same is not leaks


def test_zero_fill_shows_conv_pep_zeros_and_nothing_else_is_changed(images):
    model = build(ranking="center", keep=0.25, execution="zero_fill")
    seen = []
    model.conv_pep.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(images)
    shown = torch.zeros_like(images)
    shown[:, :, 4:12, 4:12] = images[:, :, 4:12, 4:12]
    assert torch.equal(seen[0][0], shown)


def test_isolated_is_conv_pep_on_each_patch_alone(images):
    model = build(ranking="center", keep=0.25, execution="isolated")
    with torch.no_grad():
        kept = model.embed(images.unsqueeze(0), torch.tensor([[5, 6, 9, 10]] * 6), 2)
        for slot, (row, column) in enumerate([(1, 1), (1, 2), (2, 1), (2, 2)]):
            patch = images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            alone = model.conv_pep(patch.unsqueeze(0).contiguous(), 2)
            assert alone.shape[-2:] == (1, 1)
            assert torch.equal(kept[:, :, slot], alone.flatten(2))


@pytest.mark.parametrize("module", [spikformer, sdt])
def test_rescaling_multiplies_the_attention_by_n_over_k(module):
    plain, scaled = (
        build(module, ranking="center", keep=0.25, rescale=r).encoder.blocks[0].product.scale
        for r in (False, True)
    )
    assert scaled == pytest.approx(4 * plain)
