"""The frame of the spiking transformers: ConvPEP, token choice, encoder, head.

x -> ConvPEP -> keep k of N tokens -> blocks -> mean over the k tokens and over T -> head

Tokens ranked by the network's own ConvPEP cost nothing but their scores: where it has no membrane
and the image is static, it and the ranking run once, and only the encoder at all time steps.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, cast

import torch
from annotated_types import Gt, Interval, Le
from torch import Tensor, nn
from torch.nn import functional

from spiketicket.errors import UserError
from spiketicket.models.blocks import DataShape, fire, make_neuron, time_first
from spiketicket.models.conv_pep import ConvPEP
from spiketicket.models.patches import (
    PlainRanking,
    Ranking,
    Selector,
    kept_tokens,
    token_scores,
    top_tokens,
)
from spiketicket.models.transformer_blocks import SpikeDrivenBlock, SpikingBlock
from spiketicket.neurons.lif import Kernel
from spiketicket.recipe import ModelConfig, NeuronConfig, shapes
from spiketicket.recipe.registry import load
from spiketicket.recipe.shapes import Ranker, Score, is_learned, scores_of


class TransformerConfig(ModelConfig):
    """Sizes and token choice."""

    preset: Literal["nano", "tiny", "small", "4-384", "2-256", "2-512"] = "nano"
    """Sizes that have a name; ``dim``, ``depth``, ``heads`` and ``scale`` stand above its own."""
    dim: Annotated[int, Interval(ge=8, le=65536)] | None = None
    """Features of a token; None is the preset's."""
    depth: Annotated[int, Interval(ge=0, le=1024)] | None = None
    """Encoder blocks; 0 leaves the head on ConvPEP's tokens; None is the preset's."""
    heads: Annotated[int, Interval(ge=1, le=65536)] | None = None
    """Heads of the attention; None is the preset's."""
    scale: Annotated[float, Gt(0), Le(1e6)] | None = None
    """Constant on the attention product; Spike-driven Transformer has none and takes 1."""
    qkv_bias: bool = True
    """Whether queries, keys and values have a bias, which the BatchNorm after it undoes."""
    mlp_ratio: Annotated[float, Gt(0), Le(64)] = 4.0
    """Hidden features of a block's MLP, as a multiple of ``dim``."""
    pools: Annotated[int, Interval(ge=0, le=4)] | None = None
    """ConvPEP stages that halve the image; None gives 8x8 tokens, or as near as 4 pools come."""
    pool_kernel: Literal[2, 3] = 3
    """Side of ConvPEP's pooling windows, whose stride is 2."""
    rpe: bool = True
    """Whether ConvPEP ends in the convolution of the relative position embedding."""
    attention: Literal["spiking", "softmax"] = "spiking"
    """``softmax`` is standard attention, for the ANN twin (neuron "relu"); the twin without it
    keeps the softmax-free product."""
    activation: Literal["as_neuron", "lif", "step", "sign"] = "as_neuron"
    """Activation inside ConvPEP; ``step`` and ``sign`` have no membrane and run once per image."""
    step: Literal["zero", "neuron"] = "zero"
    """Where ``step`` fires inside ConvPEP: at 0, as the tickets of version 0.1.0 do, or at the LIF
    neuron's own threshold, as the ladder sets it."""
    keep: Annotated[float, Gt(0), Le(1)] = 1.0
    """Fraction of the tokens that reach the encoder."""
    ranking: Ranking = "none"
    """What tokens are kept by; see the methods ``patches`` and ``multisp``, which set it."""
    ranker: Ranker = "selector"
    """Whose embeddings the tokens are ranked by: the network's own ConvPEP, which then sees the
    whole image, or a trained selector beside it, as the tickets of version 0.2 have."""
    ranking_seed: Annotated[int, Interval(ge=0, le=2**63 - 1)] = 0
    """Of the rankings ``random`` and ``fixed``."""
    execution: Literal["drop", "zero_fill", "isolated"] = "drop"
    """``drop``: ConvPEP sees the whole image. ``zero_fill``: it sees zeros in dropped patches.
    ``isolated``: it sees each kept patch alone."""
    rescale: bool = False
    """Whether attention is multiplied by N/k, to make up for dropped tokens."""

    def sizes(self) -> tuple[int, int, int]:
        """dim, depth and heads in force.

        Raises:
            UserError: dim does not divide by 8 or by the heads.
        """
        dim, depth, heads = (
            given if given is not None else preset
            for given, preset in zip(
                (self.dim, self.depth, self.heads),
                shapes.TRANSFORMER_PRESETS[self.preset][:3],
                strict=True,
            )
        )
        if dim % 8 or dim % heads:
            raise UserError(
                f"must divide by 8 and by the {heads} heads", where="model.dim", value=dim
            )
        return dim, depth, heads


class Encoder(nn.Module):
    """Blocks and head: logits ``[B, classes]`` of tokens ``[T, B, N, D]``."""

    def __init__(self, blocks: list[nn.Module], last: nn.Module | None, dim: int, classes: int):
        super().__init__()
        self.blocks, self.last = nn.ModuleList(blocks), last
        self.head = nn.Linear(dim, classes)

    def forward(self, tokens: Tensor, steps: int) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens, steps)
        if self.last is not None:
            tokens = fire(tokens, self.last, steps)
        logits: Tensor = self.head(tokens.float().mean(dim=(0, 2)))
        return logits


class SpikingTransformer(nn.Module):
    """Logits ``[B, classes]`` of images ``[B, C, H, W]`` or frames ``[T, B, C, H, W]``."""

    def __init__(
        self,
        config: TransformerConfig,
        neuron: NeuronConfig,
        shape: DataShape,
        kernel: Kernel,
        *,
        membrane: bool,
    ) -> None:
        super().__init__()
        if config.width != 1:
            raise UserError(
                "a transformer's size is its dim",
                where="model.width",
                value=config.width,
                remedy="Set model.dim instead",
            )
        self.timesteps, self.config = config.timesteps, config
        self.grid = token_grid(config, shape)
        self.tokens = math.prod(self.grid)
        learned = is_learned(config.ranking)
        self.own = learned and config.ranker == "own"
        if learned:
            _check_offered(config)
        if config.ranking == "none" and config.keep < 1:
            raise UserError(
                "fewer tokens need a ranking",
                where="model.keep",
                value=config.keep,
                remedy='Set model.ranking, or use ticket.name = "patches" or "multisp"',
            )
        every = config.ranking == "none"
        self.kept = self.tokens if every else kept_tokens(self.tokens, config.keep)
        self._parts = (config, neuron, shape, kernel, membrane)
        self.conv_pep = self._make_conv_pep(config.activation)
        gain = self.tokens / self.kept if config.rescale else 1.0
        self.encoder = Encoder(
            self._make_blocks(gain),
            self._encoder_neuron() if membrane else None,
            config.sizes()[0],
            shape.classes,
        )
        self.selector = self._make_selector() if learned and not self.own else None
        plain = config.ranking != "none" and not learned
        # Membrane potentials fire first where what is ranked by is how often tokens do.
        fires = self.own and membrane and config.ranking == "firing_rate"
        self.ranking_neuron = self._encoder_neuron() if fires else None
        self.plain_ranking = (
            PlainRanking(config.ranking, self.grid, config.ranking_seed) if plain else None
        )

    def forward(self, x: Tensor) -> Tensor:
        steps = self.timesteps
        frames = time_first(x, steps)
        if self.own:
            tokens = self._chosen(self.conv_pep(frames, steps), steps)
        else:
            tokens = self.embed(frames, self.choose(frames, steps), steps)
        if tokens.shape[0] != steps:
            tokens = tokens.expand(steps, *tokens.shape[1:])
        logits: Tensor = self.encoder(tokens, steps)
        return logits

    def choose(self, frames: Tensor, steps: int) -> Tensor | None:
        """Ids int64 ``[B, k]`` of the tokens kept, ascending, or None where all are."""
        if self.own:
            return self._own_choice(self.conv_pep(frames, steps), steps)
        if self.selector is not None:
            scores = self.selector.rank(frames, steps)
        elif self.plain_ranking is not None:
            scores = self.plain_ranking(frames)
        else:
            return None
        return top_tokens(scores, self.kept)

    def _own_choice(self, h: Tensor, steps: int) -> Tensor:
        """Ids of the best of ConvPEP's tokens ``[T or 1, B, D, h, w]``."""
        neuron = self.ranking_neuron
        spikes = h if neuron is None else fire(h.detach(), neuron, steps)
        return top_tokens(token_scores(self.config.ranking, spikes), self.kept)

    def _chosen(self, h: Tensor, steps: int) -> Tensor:
        """The best tokens ``[T or 1, B, k, D]`` by their own embeddings."""
        return _gather(_as_tokens(h), self._own_choice(h, steps))

    def embed(self, frames: Tensor, ids: Tensor | None, steps: int) -> Tensor:
        """Kept tokens ``[T or 1, B, k, D]``."""
        if ids is None:
            return self._tokens(frames, steps)
        execution = self.config.execution
        if execution == "isolated":
            patches = _patches(frames, self.grid)
            chosen = _gather(patches.flatten(3), ids).unflatten(3, patches.shape[3:])
            h: Tensor = self.conv_pep(chosen.flatten(1, 2), steps)
            return torch.unflatten(h.flatten(2), 1, ids.shape)
        if execution == "zero_fill":
            mask = torch.zeros(ids.shape[0], self.tokens, device=ids.device, dtype=frames.dtype)
            image = mask.scatter(1, ids, 1.0).view(-1, 1, *self.grid)
            frames = frames * functional.interpolate(image, size=frames.shape[-2:])
        return _gather(self._tokens(frames, steps), ids)

    def _tokens(self, frames: Tensor, steps: int) -> Tensor:
        return _as_tokens(self.conv_pep(frames, steps))

    def _make_conv_pep(self, activation: str) -> ConvPEP:
        config, neuron, shape, kernel, membrane = self._parts
        return ConvPEP(
            shape.channels,
            config.sizes()[0],
            pools=pool_count(config, shape),
            rpe=config.rpe,
            neuron=lambda: make_neuron(_activation(activation, neuron, config.step), kernel),
            bn_affine=config.bn_affine,
            pool_kernel=config.pool_kernel,
            membrane=membrane,
        )

    def _encoder_neuron(self) -> nn.Module:
        return make_neuron(self._parts[1], self._parts[3])

    def _make_blocks(self, gain: float) -> list[nn.Module]:
        config, neuron, _, kernel, membrane = self._parts
        dim, depth, heads = config.sizes()
        # published: the neuron after the attention fires at half the threshold
        half = neuron
        if neuron.name == "lif":
            half = neuron.model_copy(update={"v_threshold": 0.5 * float(neuron.v_threshold)})  # type: ignore[attr-defined]
        kind = SpikeDrivenBlock if membrane else SpikingBlock
        scale = config.scale or (1.0 if membrane else shapes.TRANSFORMER_PRESETS[config.preset][3])
        return [
            kind(
                dim,
                heads,
                round(dim * config.mlp_ratio),
                self._encoder_neuron,
                lambda: make_neuron(half, kernel),
                bn_affine=config.bn_affine,
                qkv_bias=config.qkv_bias,
                kind=config.attention,
                scale=scale * gain,
            )
            for _ in range(depth)
        ]

    def _make_selector(self) -> Selector:
        score = self.config.ranking
        blocks = self._make_blocks(1.0) if score.startswith("attention") else []
        if score == "attention_first":
            blocks = blocks[:1]
        if score.startswith("attention") and not blocks:
            raise UserError("there is no block to read", where="model.ranking", value=score)
        membrane = self._parts[4]
        return Selector(
            self._make_conv_pep("as_neuron"),
            nn.ModuleList(blocks),
            cast("Score", score),
            self._encoder_neuron() if membrane else None,
        )

    def macs(self) -> dict[str, int]:
        """Dense multiply-accumulates of one image over all time steps, by group."""
        config, _, shape, _, membrane = self._parts
        dim, depth, _ = config.sizes()
        steps, k = self.timesteps, self.kept
        convs, static = self.conv_pep.macs(shape.height, shape.width), shape.frames == 1
        if config.execution == "isolated" and config.ranking != "none":
            side = 2 ** pool_count(config, shape)
            convs = [k * n for n in self.conv_pep.macs(side, side)]
        blocks = depth * k * (4 * dim * dim + 2 * dim * round(dim * config.mlp_ratio))
        product = depth * (2 * k * dim if membrane else 2 * k * k * dim)
        groups = {
            "conv_pep": _pep_macs(
                convs, steps, _remembers(config.activation, self._parts[1]), static=static
            ),
            "encoder_linear": steps * blocks,
            "attention": steps * product,
            "head": dim * shape.classes,
        }
        if self.selector is not None:
            whole = self.conv_pep.macs(shape.height, shape.width)
            read = len(self.selector.blocks)
            inner = max(read - 1, 0) * self.tokens * (
                4 * dim * dim + 2 * dim * round(dim * config.mlp_ratio) + 2 * self.tokens * dim
            ) + (2 * self.tokens * dim * dim if read else 0)
            groups["selector"] = (
                _pep_macs(whole, steps, _remembers("as_neuron", self._parts[1]), static=static)
                + steps * inner
            )
        return groups


def _check_offered(config: TransformerConfig) -> None:
    """Refuse a score that this ranker does not have, or an image that it must see whole."""
    offered = scores_of(config.ranker)
    if config.ranking not in offered:
        raise UserError(
            f"is no score of the ranker {config.ranker!r}, which has {', '.join(offered)}",
            where="model.ranking",
            value=config.ranking,
            remedy="Use one of them, or another model.ranker: own or selector",
        )
    if config.ranker == "own" and config.execution != "drop":
        raise UserError(
            "ConvPEP must see the whole image to rank its patches itself",
            where="model.execution",
            value=config.execution,
            remedy='Use "drop", or model.ranker = "selector"',
        )


def _as_tokens(h: Tensor) -> Tensor:
    return h.flatten(3).transpose(2, 3)


def _pep_macs(convs: list[int], steps: int, remembers: bool, *, static: bool) -> int:
    """A static image meets the first convolution once; all of them where nothing remembers."""
    if not static:
        return steps * sum(convs)
    return convs[0] + (steps if remembers else 1) * sum(convs[1:])


def _remembers(activation: str, neuron: NeuronConfig) -> bool:
    return activation == "lif" or (activation == "as_neuron" and neuron.name == "lif")


def _activation(activation: str, neuron: NeuronConfig, step: str) -> NeuronConfig:
    if activation in ("as_neuron", neuron.name):
        return neuron
    config: NeuronConfig = load("neurons", activation).Config()
    if activation == "step" and step == "neuron" and neuron.name == "lif":
        # The same neuron without its memory. Firing at 0 instead, half of what BatchNorm gives
        # fires, nearly all of it after a max pool, and a searched mask no longer trains well.
        same = neuron.model_dump(include={"v_threshold", "surrogate", "alpha"})
        config = config.model_copy(update=same)
    return config


def pool_count(config: TransformerConfig, shape: DataShape) -> int:
    """ConvPEP's pools: as asked, or as many as lead to 8x8 tokens."""
    return shapes.conv_pep_pools(shape, config.pools)


def token_grid(config: TransformerConfig, shape: DataShape) -> tuple[int, int]:
    """Rows and columns of tokens; UserError where the pools do not divide the image."""
    return shapes.token_grid(shape, config.pools)


def _gather(tokens: Tensor, ids: Tensor) -> Tensor:
    index = ids.unsqueeze(-1).expand(tokens.shape[0], -1, -1, tokens.shape[-1])
    return tokens.gather(2, index)


def _patches(frames: Tensor, grid: tuple[int, int]) -> Tensor:
    """``[T, B, N, C, h, w]``: the image cut into one piece a token."""
    steps, batch, channels, height, width = frames.shape
    h, w = height // grid[0], width // grid[1]
    cut = frames.reshape(steps, batch, channels, grid[0], h, grid[1], w)
    return cut.permute(0, 1, 3, 5, 2, 4, 6).flatten(2, 3)
