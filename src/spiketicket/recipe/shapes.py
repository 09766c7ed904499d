"""What a network's name and settings stand for, without PyTorch: layer plans, sizes, grids.

Both who builds a network (``models/``) and who compiles its ticket (``engine/``) read them here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, get_args

from spiketicket.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DataShape:
    """What a network is built for: channels, height and width of its input, and its classes.

    ``frames`` is the number of time steps at which its input differs: 1 for a static image.
    """

    channels: int
    height: int
    width: int
    classes: int
    frames: int = 1


Encoder = Literal["none", "whiten", "whiten-lif"]
"""What can stand before a network, see :mod:`spiketicket.models.encoder`."""
ENCODER = "input_encoder"
"""Its name as a module of the network."""
FILTERS = f"{ENCODER}.filters"
"""Its one array."""
MOST_FILTERS = 12
"""Of an encoder: as many as a 2x2 patch of three channels has numbers."""


def filter_count(channels: int) -> int:
    """Filters of an encoder of images of so many channels; their negatives come on top."""
    return min(MOST_FILTERS, 4 * channels)


def encoder_words(encoder: object) -> str:
    """An encoder as tables and pages name it; "" where there is none."""
    return f"{encoder}: data-dependent, frozen, not searched" if encoder != "none" else ""


def behind_encoder(encoder: object, shape: DataShape, timesteps: int = 1) -> DataShape:
    """What the network behind an encoder is built for, where the data have ``shape``.

    ``timesteps`` are the network's: spikes of an encoder differ at each of them.
    """
    if encoder not in ("whiten", "whiten-lif"):
        return shape
    frames = timesteps if encoder == "whiten-lif" else shape.frames
    return replace(shape, channels=2 * filter_count(shape.channels), frames=frames)


VGG9_PLAN = ((64, False), (64, True), (128, False), (128, True), (256, False), (256, True))
"""Channels of the convolutions at width 1, and whether a pool always follows."""
CONVNET_PLAN = (32, 64, 128)
RESCONV6_PLAN = ((64, True), (64, False), (256, True), (256, False), (256, True), (256, False))
"""Channels of the convolutions at width 1, and whether their sums are pooled."""
RESNET19_STAGES = ((3, 128), (3, 256), (2, 512))
"""Blocks and channels of every stage, the channels at width 1."""
TRANSFORMER_PRESETS = {
    # dim, depth, heads, scale of the attention
    "nano": (64, 2, 4, 0.125),
    "tiny": (192, 12, 3, 0.125),
    "small": (384, 12, 6, 0.125),
    "4-384": (384, 4, 12, 0.125),
    "2-256": (256, 2, 16, 0.25),
    "2-512": (512, 2, 8, 0.125),
}
CONV_PEP_STAGES = 4
GRID = 8
"""Tokens a side, as published, unless ``pools`` says otherwise."""


def scaled(channels: int, width: float) -> int:
    """Channels times the width factor, at least 1."""
    return max(1, round(channels * width))


def vgg9_pools(shape: DataShape, pools: int | None) -> tuple[bool, ...]:
    """After which convolutions a 2x2 pool stands; ``pools`` None leads to 4x4 positions.

    Raises:
        UserError: the pools do not divide the image.
    """
    count = _vgg9_pool_count(shape) if pools is None else pools
    if shape.height % 2**count or shape.width % 2**count:
        raise UserError(
            f"vgg9 pools {count} times: image height and width must be multiples of {2**count}",
            where="model.name",
            value=(shape.height, shape.width),
            remedy="Choose another network or another image size, or set model.pools",
        )
    extra, pooled = count - 3, []
    for _, pool in VGG9_PLAN:
        more = not pool and extra > 0
        extra -= more
        pooled.append(pool or more)
    return tuple(pooled)


def _vgg9_pool_count(shape: DataShape) -> int:
    ideal = min(6, max(3, round(math.log2(min(shape.height, shape.width) / 4))))
    fit = [n for n in range(ideal, 3, -1) if not (shape.height % 2**n or shape.width % 2**n)]
    return fit[0] if fit else 3


def convnet_pools(shape: DataShape) -> tuple[bool, ...]:
    """After which convolutions a 2x2 pool stands.

    Raises:
        UserError: the pools do not divide the image.
    """
    whole = shape.height % 8 == 0 and shape.width % 8 == 0
    pools = 3 if whole and min(shape.height, shape.width) >= 16 else 2
    if shape.height % 2**pools or shape.width % 2**pools:
        raise UserError(
            f"convnet pools {pools} times: image sides must be multiples of {2**pools}",
            where="model.name",
            value=(shape.height, shape.width),
            remedy="Choose another network or another image size",
        )
    return tuple(i < pools for i in range(len(CONVNET_PLAN)))


def resconv6_pools(shape: DataShape) -> tuple[bool, ...]:
    """Which convolutions' sums are pooled 2x2.

    Raises:
        UserError: the pools do not divide the image.
    """
    pooled = tuple(pool for _, pool in RESCONV6_PLAN)
    side = 2 ** sum(pooled)
    if shape.height % side or shape.width % side:
        raise UserError(
            f"resconv6 pools {sum(pooled)} times: image sides must be multiples of {side}",
            where="model.name",
            value=(shape.height, shape.width),
            remedy="Choose another network or another image size",
        )
    return pooled


def resconv6_channels(
    width: float, channels: Sequence[int] | None, shortcuts: bool
) -> tuple[int, ...]:
    """Outputs of the six convolutions: the plan times ``width``, or ``channels`` in its place.

    Raises:
        UserError: there are not six, or a shortcut would join different numbers of channels.
    """
    plan = tuple(scaled(count, width) for count, _ in RESCONV6_PLAN)
    counts = plan if channels is None else tuple(channels)
    if len(counts) != len(plan):
        raise UserError(
            f"must be {len(plan)} numbers of channels", where="model.channels", value=list(counts)
        )
    if shortcuts and counts[::2] != counts[1::2]:
        raise UserError(
            "a shortcut joins the two convolutions of a pair: they must have equally many channels",
            where="model.channels",
            value=list(counts),
            remedy="Make the channels of each pair the same, or set model.shortcuts=false",
        )
    return counts


def resnet19_strides(first_stride: int) -> tuple[int, ...]:
    """The stride of every block."""
    return tuple(
        1 if index else (2 if stage else first_stride)
        for stage, (count, _) in enumerate(RESNET19_STAGES)
        for index in range(count)
    )


def conv_pep_pools(shape: DataShape, pools: int | None) -> int:
    """ConvPEP's pools: as asked, or as many as lead to 8x8 tokens, or as near as 4 pools come."""
    if pools is not None:
        return pools
    near = round(math.log2(min(shape.height, shape.width) / GRID))
    return min(CONV_PEP_STAGES, max(0, near))


def token_grid(shape: DataShape, pools: int | None) -> tuple[int, int]:
    """Rows and columns of tokens; ``pools`` as in :func:`conv_pep_pools`.

    Raises:
        UserError: the pools do not divide the image.
    """
    side = 2 ** conv_pep_pools(shape, pools)
    if shape.height % side or shape.width % side:
        raise UserError(
            f"image height and width must be multiples of {side}, for ConvPEP's pools",
            where="model.pools",
            value=(shape.height, shape.width),
            remedy="Set model.pools, or resize the images",
        )
    return shape.height // side, shape.width // side


def kept_tokens(tokens: int, keep: float) -> int:
    """``keep * tokens``, rounded half up: k.

    Raises:
        UserError: no token would be left.
    """
    kept = math.floor(Decimal(repr(keep)) * tokens + Decimal("0.5"))
    if kept < 1:
        raise UserError(
            f"leaves none of the {tokens} tokens",
            where="ticket.keep",
            value=keep,
            remedy=f"The smallest feasible keep here is {0.5 / tokens:.4g}",
        )
    return kept


Score = Literal["firing_rate", "embedding_norm", "attention_first", "attention_last"]


SCORES: tuple[Score, ...] = get_args(Score)
"""What a trained selector can rank patches by."""
OwnScore = Literal["firing_rate", "embedding_norm"]
OWN_SCORES: tuple[OwnScore, ...] = get_args(OwnScore)
"""What a network can rank patches by with its own ConvPEP."""
Ranker = Literal["own", "selector"]
RANKERS: tuple[Ranker, ...] = get_args(Ranker)
RANKER_OF_OLD: Ranker = "selector"
"""Of tickets that do not name it."""


def scores_of(ranker: str) -> tuple[str, ...]:
    """The scores that a ranker can offer."""
    return OWN_SCORES if ranker == "own" else SCORES


def is_learned(ranking: str) -> bool:
    """Whether patches are ranked by what a network learned, and not by a plain rule."""
    return ranking in SCORES or ranking in OWN_SCORES
