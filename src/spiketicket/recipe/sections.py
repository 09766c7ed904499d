"""A recipe: everything that decides a result, as frozen types and one TOML file.

A section that chooses from a family (``[data]``, ``[model]``, ``[neuron]``, ``[ticket]``) has a
``name``; the rest of its keys are the fields of the ``Config`` class in that choice's file, which
derives from the base class here. Nothing in a recipe depends on the machine: device and thread
count are arguments of the run, and the folder with the data (``data.root``) is not hashed.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Gt, Interval, Le, Len, Lt
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    StringConstraints,
    create_model,
    model_validator,
)

from spiketicket.errors import UserError, argument
from spiketicket.machine.names import path_inside, path_on_machine
from spiketicket.recipe import registry

FileSafe = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Epochs = Annotated[int, Interval(ge=0, le=1_000_000)]
Count = Annotated[int, Interval(ge=1, le=2**31 - 1)]
"""Of samples or optimizer steps."""
Seed = Annotated[int, Interval(ge=0, le=2**63 - 1)]
MOST_SEEDS = 10_000
"""Repetitions of a run, and each is some trainings."""
Microseconds = Annotated[int, Interval(ge=0, le=10**15)]
"""Up to 30 years."""
Inside = Annotated[str, AfterValidator(path_inside)]
"""A path that stays below a folder the user has named."""


class Section(BaseModel):
    """Base of every part of a recipe: frozen, exact types, no unknown keys, no NaN or infinity.

    A list given for a tuple field is accepted (TOML and JSON have no tuples). A field that may be
    ``None`` must default to it, because TOML cannot say ``None``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lists_to_tuples(cls, data: Any) -> Any:
        return {k: _tuples(v) for k, v in data.items()} if isinstance(data, dict) else data


class DataConfig(Section):
    """Which data, how it is split and augmented."""

    name: str
    root: Annotated[str, AfterValidator(path_on_machine)] = Field(
        default="", json_schema_extra={"hashed": False}
    )
    """Folder with the files; empty means the one named by SPIKETICKET_DATA. A relative one is
    relative to the recipe's file, or to the working directory where no file gave it."""
    validation: Annotated[float, Gt(0), Lt(1)] = 0.1
    """Fraction of the training samples held out for every choice made before the test."""
    pad_crop: Annotated[int, Interval(ge=0, le=32)] = 0
    """Pixels of zero padding for random crops; 0 turns them off."""
    flip: bool = False
    """Whether to mirror images left to right at random."""
    train_limit: Count | None = None
    """Number of training samples to use, drawn evenly over classes by seed; None is all."""
    test_limit: Count | None = None
    """Number of test samples to use, drawn evenly over classes, the same for every seed; None is
    all."""


class ModelConfig(Section):
    """Which network, over how many timesteps, with which kind of weights."""

    name: str
    timesteps: Annotated[int, Interval(ge=1, le=64)] = 4
    weights: Literal["float", "binary"] = "binary"
    bn_affine: bool = False
    """Whether BatchNorm trains its scale and shift; if so they are weights that were trained."""
    width: Annotated[float, Gt(0), Le(64)] = 1.0
    """Multiplies the number of channels of every hidden layer."""


class NeuronConfig(Section):
    """Which activation; its parameters are fields of the choice's own ``Config``."""

    name: str


class MethodConfig(Section):
    """Which ticket search, and the fraction of the weights the ticket keeps."""

    trains: ClassVar[Literal["scores", "weights"]] = "weights"
    """What the search itself moves: the weights, or scores of weights that stay."""
    scored: ClassVar[bool] = False
    """Whether the ticket keeps its scores (see ``Scene.keep_scores``), for controls to read."""
    signs_searched: ClassVar[bool] = False
    """Whether a negative score inverts its frozen weight."""

    name: str
    density: Annotated[float, Gt(0), Le(1)]

    def shortened(self, share: float) -> Self:
        """The same for a training with ``share`` of the epochs, where it counts any itself."""
        del share
        return self


Rate = Annotated[float, Interval(gt=0, le=1e6)]


class OptimizerConfig(Section):
    """An optimizer; ``momentum`` is read by ``sgd`` only."""

    name: Literal["sgd", "adam", "adamw"]
    lr: Rate
    weight_decay: Annotated[float, Interval(ge=0, le=1e6)] = 0.0
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9


class ScoreOptimizerConfig(OptimizerConfig):
    """The optimizer of the scores, for a ticket search."""

    name: Literal["sgd", "adam", "adamw"] = "adam"
    lr: Rate = 0.02


class WeightOptimizerConfig(OptimizerConfig):
    """The optimizer of the weights, for the dense net and the random-mask control."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Rate = 2e-3
    weight_decay: Annotated[float, Interval(ge=0, le=1e6)] = 0.01


RampStep = tuple[Annotated[Epochs, Ge(1)], Annotated[int, Interval(ge=1, le=64)]]


class TrainConfig(Section):
    """The budget and the loop, the same for the ticket and for every control."""

    epochs: Annotated[Epochs, Ge(1)]
    batch_size: Annotated[int, Interval(ge=1, le=1 << 20)]
    precision: Literal["fp32", "bf16"] = "fp32"
    warmup: Annotated[float, Interval(ge=0, le=1)] = 0.1
    """Fraction of all steps with a rising learning rate; a cosine to zero follows."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    scores: ScoreOptimizerConfig = ScoreOptimizerConfig()
    weights: WeightOptimizerConfig = WeightOptimizerConfig()
    kernel: Literal["auto", "native", "compile", "eager"] = "auto"
    """How the neuron is computed; ``auto`` takes the fastest that works here."""
    checkpoint_steps: Count = 200
    """Optimizer steps between two checkpoints."""
    sync_batch_norm: bool = True
    """Whether BatchNorm's statistics are those of the whole batch where several processes share
    it; else each takes those of its own rows."""
    tune: Annotated[Literal["rates", "off"], Field(json_schema_extra={"hashed_default": "off"})] = (
        "rates"
    )
    """Whether every kind of stage tries its learning rate times 1/4, 1 and 4 on the first seed, in
    trainings of half the epochs, and takes the best by validation accuracy."""
    timestep_ramp: Annotated[tuple[RampStep, ...], Len(0, 100)] = ()
    """Pairs (epochs, timesteps): train so many epochs at so many timesteps, in turn, before the
    remaining epochs at ``model.timesteps``. Of recordings, whose frames the timesteps must divide,
    neighbouring frames are added up."""

    @model_validator(mode="after")
    def _ramp_leaves_epochs(self) -> TrainConfig:
        ramp = sum(epochs for epochs, _ in self.timestep_ramp)
        if ramp >= self.epochs:
            raise ValueError(
                f"timestep_ramp takes {ramp} of {self.epochs} epochs; "
                "at least one must remain at model.timesteps"
            )
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


class Recipe(Section):
    """One experiment. Made by :func:`load_recipe` or :func:`parse_recipe`."""

    name: FileSafe
    seed: Seed = 0
    data: SerializeAsAny[DataConfig]
    model: SerializeAsAny[ModelConfig]
    neuron: SerializeAsAny[NeuronConfig]
    ticket: SerializeAsAny[MethodConfig]
    train: TrainConfig
    controls: ControlsConfig = ControlsConfig()
    verdict: VerdictConfig = VerdictConfig()

    @property
    def hash(self) -> str:
        """First 10 hex digits of the sha256 of the recipe.

        Fields at their defaults and fields marked as not hashed are left out, so a field that is
        added later with a default keeps every old hash. Where its default changes what a recipe
        does, what is left out is the value that changes nothing (``hashed_default``).
        """
        text = json.dumps(_hashed(self), sort_keys=True, separators=(",", ":"))
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


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _hashed(section: BaseModel) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("hashed") is False:
            continue
        default = field.get_default(call_default_factory=True)
        if isinstance(extra, dict):
            default = extra.get("hashed_default", default)
        # A choice's name may be its default in its own Config, and still decides everything.
        if key == "name" or value != default:
            kept[key] = _hashed(value) if isinstance(value, BaseModel) else value
    return kept
