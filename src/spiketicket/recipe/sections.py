"""A recipe: everything that decides a result, as frozen types and one TOML file.

A section that chooses from a family (``[data]``, ``[model]``, ``[neuron]``, ``[ticket]``) has a
``name``; the rest of its keys are the fields of the ``Config`` class in that choice's file, which
derives from the base class here. Nothing in a recipe depends on the machine: device and thread
count are arguments of the run, and the folder with the data (``data.root``) is not hashed.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self

from annotated_types import Ge, Gt, Interval, Le, Lt
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    StringConstraints,
    create_model,
    model_validator,
)

from spiketicket.errors import UserError, argument
from spiketicket.machine.names import path_inside, path_on_machine
from spiketicket.recipe import registry
from spiketicket.recipe.section import LATER, MOST_SEEDS, Count, Section, Seed, hashed
from spiketicket.recipe.shapes import Encoder
from spiketicket.recipe.training import TrainConfig

FileSafe = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Inside = Annotated[str, AfterValidator(path_inside)]
"""A path that stays below a folder the user has named."""


def _flip(value: object) -> object:
    if type(value) is not bool and value != "alternate":
        raise ValueError("must be true, false or 'alternate'")
    return value


class DataConfig(Section):
    """Which data, how it is split and augmented."""

    pictures: ClassVar[tuple[int, int, int] | None] = None
    """Channels, height and width of every sample, where they are always the same."""
    side_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that decide height and width."""

    name: Annotated[str, Field(examples=["image_folder"])]
    """Which data set: ``spiketicket data list`` has them all."""
    root: Annotated[str, AfterValidator(path_on_machine)] = Field(
        default="", json_schema_extra={"hashed": False}
    )
    """Folder with the files; empty means the one named by SPIKETICKET_DATA. A relative one is
    relative to the recipe's file, or to the working directory where no file gave it."""
    validation: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Fraction of the training samples held out for every choice made before the test; not read
    where the data set has a validation split of its own (``val/`` in a folder of yours)."""
    pad_crop: Annotated[int, Interval(ge=0, le=32)] = 0
    """Pixels of padding for random crops; 0 turns them off."""
    pad_mode: Annotated[Literal["zeros", "reflect"], LATER] = "zeros"
    """What the padding is: black, or the image mirrored at its border."""
    flip: Annotated[bool | Literal["alternate"], BeforeValidator(_flip)] = False
    """Whether to mirror images left to right at random. With ``alternate`` each image is mirrored
    in every second epoch; which ones are in the first epoch is drawn by seed."""
    cutout: Annotated[Annotated[int, Interval(ge=0, le=4096)], LATER] = 0
    """Side in pixels of a square that is set to the mean in each training image, its centre drawn
    anywhere in the image; 0 is none."""
    test_flip: Annotated[bool, LATER] = False
    """Whether each net is tested a second time on the mean of its logits for an image and for its
    mirror image. The result has a row of its own and is never judged."""
    train_limit: Count | None = None
    """Number of training samples to use, drawn evenly over classes by seed; None is all."""
    test_limit: Count | None = None
    """Number of test samples to use, drawn evenly over classes, the same for every seed; None is
    all."""

    def stated_shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of a sample, where the settings alone say them."""
        return self.pictures

    @model_validator(mode="after")
    def _pads(self) -> Self:
        if self.pad_mode == "reflect" and not self.pad_crop:
            raise ValueError('pad_mode="reflect" pads nothing without pad_crop >= 1')
        return self


class ModelConfig(Section):
    """Which network, over how many timesteps, with which kind of weights."""

    name: Annotated[str, Field(examples=["vgg9"])]
    """Which network: one of this package, or ``module:function`` for one of your own."""
    timesteps: Annotated[int, Interval(ge=1, le=64)] = 4
    """Time steps of a sample, T; for recordings as many as they have frames (``data.steps``)."""
    weights: Literal["float", "binary"] = "binary"
    """Whether weights are floats, or one sign each and one scale per layer."""
    bn_affine: bool = False
    """Whether BatchNorm trains its scale and shift; if so they are weights that were trained."""
    width: Annotated[float, Gt(0), Le(64)] = 1.0
    """Multiplies the number of channels of every hidden layer."""
    encoder: Annotated[Encoder, LATER] = "none"
    """What stands before the network: nothing, or frozen filters that whiten 2x2 patches
    (:mod:`spiketicket.models.encoder`) and a ReLU, or the recipe's neuron in its place. They are
    computed from training images: data-dependent, frozen, not searched."""


class NeuronConfig(Section):
    """Which activation; its parameters are fields of the choice's own ``Config``."""

    name: Annotated[str, Field(examples=["lif"])]
    """Which neuron."""


class MethodConfig(Section):
    """Which ticket search, and the fraction of the weights the ticket keeps."""

    trains: ClassVar[Literal["scores", "weights"]] = "weights"
    """What the search itself moves: the weights, or scores of weights that stay."""
    scored: ClassVar[bool] = False
    """Whether the ticket keeps its scores (see ``Scene.keep_scores``), for controls to read."""
    signs_searched: ClassVar[bool] = False
    """Whether a negative score inverts its frozen weight."""

    name: Annotated[str, Field(examples=["edge_popup"])]
    """Which method searches the ticket."""
    density: Annotated[float, Gt(0), Le(1), Field(examples=[0.2])]
    """Fraction of the weights that the ticket KEEPS, exact to the weight."""

    def shortened(self, share: float) -> Self:
        """The same for a training with ``share`` of the epochs, where it counts any itself."""
        del share
        return self


class _Controls(Section):
    """Which controls run beside the ticket, each with the same budget.

    Every file of ``methods/controls`` is a field: those named here are on by default, all others
    off.
    """

    dense: bool = True
    """The dense net of the same condition, trained."""
    random_trained: bool = True
    """A random mask of the same density whose weights are trained: what sparsity alone gives."""
    random_frozen: bool = True
    """A random mask on the frozen random weights: the floor."""
    bn_affine: bool | None = None
    """BatchNorm of the trained controls; None is as in the ticket's model."""


if TYPE_CHECKING:

    class ControlsConfig(_Controls):
        """The same with a field for every file of ``methods/controls``."""
else:
    ControlsConfig = create_model(
        "ControlsConfig",
        __base__=_Controls,
        __module__=__name__,
        __doc__=_Controls.__doc__,
        **{
            name: (bool, False)
            for name in registry.controls()
            if name not in _Controls.model_fields
        },
    )


class VerdictConfig(Section):
    """What counts as winning."""

    margin: Annotated[float, Ge(0), Le(100)] = 1.0
    """Percentage points below the dense net that still count as a tie."""
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.95
    """Of the intervals that the verdict is judged by."""


CHOICES: Final[dict[str, tuple[str, type[Section]]]] = {
    "data": ("data", DataConfig),
    "model": ("models", ModelConfig),
    "neuron": ("neurons", NeuronConfig),
    "ticket": ("methods", MethodConfig),
}
"""Sections that choose by ``name``: the family of the registry, and what all choices have."""


class Recipe(Section):
    """One experiment. Made by :func:`load_recipe` or :func:`parse_recipe`."""

    name: Annotated[FileSafe, Field(examples=["mine"])]
    """What the experiment is called; its run folder begins with it."""
    seed: Seed = 0
    """Of everything that is drawn; further seeds count up from it."""
    data: SerializeAsAny[DataConfig]
    """Which data, how it is split and augmented."""
    model: SerializeAsAny[ModelConfig]
    """Which network, over how many timesteps, with which kind of weights."""
    neuron: SerializeAsAny[NeuronConfig]
    """Which activation, and its parameters."""
    ticket: SerializeAsAny[MethodConfig]
    """Which ticket search, and the fraction of the weights the ticket keeps."""
    train: TrainConfig
    """The budget and the loop, the same for the ticket and for every control."""
    controls: ControlsConfig = ControlsConfig()
    """Which controls run beside the ticket, each with the same budget."""
    verdict: VerdictConfig = VerdictConfig()
    """What counts as winning."""

    @property
    def hash(self) -> str:
        """First 10 hex digits of the sha256 of the recipe.

        Fields at their defaults and fields marked as not hashed are left out, so a field that is
        added later with a default keeps every old hash. Where its default changes what a recipe
        does, what is left out is the value that changes nothing (``hashed_default``).
        """
        text = json.dumps(hashed(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def repetitions(self, count: int) -> tuple[int, ...]:
        """The seeds of so many repetitions.

        Raises:
            UserError: they are more than anybody trains, or beyond the largest seed.
        """
        if not 1 <= count <= MOST_SEEDS:
            raise UserError(f"must be from 1 to {MOST_SEEDS}", where=argument("seeds"), value=count)
        if self.seed + count > 2**63:
            raise UserError("has no such seeds after it", where="seed", value=self.seed)
        return tuple(range(self.seed, self.seed + count))

    @property
    def folder_name(self) -> str:
        """Name of the run folder: ``<name>-<hash>``."""
        return f"{self.name}-{self.hash}"
