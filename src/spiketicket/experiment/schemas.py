"""What the files of a run say, checked as they are read: later code may rely on it.

Unknown keys are left alone, so that a newer file can be read; a missing or wrong one is an error
of the file, which :mod:`spiketicket.report.load` turns into a note.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from annotated_types import Len
from pydantic import BaseModel, ConfigDict, Field, model_validator

from spiketicket.recipe.shapes import RANKER_OF_OLD
from spiketicket.verdict.outcomes import Outcome

Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[float, Field(ge=0)]


class _File(BaseModel):
    # Strict: who reads the file itself finds a number where one was checked, and not "1" or true.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, strict=True)


class Tokens(_File):
    """Patches that reach the encoder, of those an image has."""

    kept: int
    of: int


class Operations(_File):
    """Operations per image, of one layer, group or net."""

    dense: Count = 0.0
    macs: Count = 0.0
    acs: Count = 0.0
    ac_units: Count = 0.0
    updates: Count = 0.0


class Trial(_File):
    """A learning rate that was tried; the accuracy is in percent."""

    factor: Annotated[float, Field(gt=0)]
    epochs: Count
    validation_accuracy: Percent
    validation_loss: float | None = None
    """None where the training diverged."""


class Tuning(_File):
    """How a stage's learning rate was chosen, see :mod:`spiketicket.experiment.tuning`."""

    factor: Annotated[float, Field(gt=0)]
    seed: int
    of: str = ""
    edge: bool = False
    trials: list[Trial] = []


class Facts(_File):
    """What one stage's ``result.json`` and a row of the run's have in common."""

    stage: str
    title: str = ""
    precision: Literal["fp32", "bf16"] | None = None
    """What it was trained in, where the recipe leaves that to the processor."""
    density: Share
    binary: bool
    bn_affine: bool = False
    kept: Count
    parameters: Count
    file_bytes: Count
    trained_epochs: Count
    tokens: Tokens | None = None
    conv_pep_density: Share | None = None
    net_density: Share | None = None
    operations: dict[str, Operations | float] = {}
    ranking: str | None = None
    rankings: list[str] = []
    ranker: str = RANKER_OF_OLD
    sample_passes: Count = 0
    is_search: bool = False
    search: dict[str, Any] = {}
    tuning: Tuning | None = None
    signs: Annotated[float, Field(gt=0)] | None = None
    """Binary weights that a fine-tuned net keeps; ``signs_flipped`` of them have another sign than
    in the ticket it started from. Over several seeds both are means."""
    signs_flipped: Count | None = None

    @model_validator(mode="after")
    def _signs_are_whole(self) -> Self:
        if (self.signs is None) != (self.signs_flipped is None):
            raise ValueError("signs without how many flipped, or the other way round")
        if (self.signs_flipped or 0) > (self.signs or 0):
            raise ValueError("more signs flipped than there are")
        return self

    @model_validator(mode="after")
    def _rung_is_whole(self) -> Self:
        whole = None not in (self.conv_pep_density, self.net_density)
        ranked = self.stage not in PATCHES or self.ranking or self.rankings
        groups = {k: v for k, v in self.operations.items() if k != "images"}
        if self.tokens and not (whole and ranked):
            raise ValueError("of patches, but without its densities or its ranking")
        if self.operations and not all(isinstance(v, Operations) for v in groups.values()):
            raise ValueError("operations that are no tables")
        if isinstance(self.operations.get("images", 0.0), Operations):
            raise ValueError("images that are no number")
        return self


PATCHES: Final = ("patch", "pepsp", "multisp")
"""Stages that drop patches."""


class StageRow(Facts):
    """A row of ``result.json``; the accuracies are in percent, one per seed."""

    test_accuracy: list[Percent]
    test_accuracy_flip: list[Percent] = []
    """With test-time flip, where the recipe asks for it; never judged."""
    validation_accuracy: list[Percent]


class FiringFile(_File):
    """Layers that were dead or saturated in the last validation: the share of steps they fired."""

    layers: dict[str, Share]


class Epoch(_File):
    """One epoch of a stage; a loss may be infinite or no number."""

    model_config = ConfigDict(allow_inf_nan=True)
    epoch: int
    loss: float
    validation_loss: float | None = None
    accuracy: float | None = None
    validation_accuracy: float


class Tested(_File):
    """What a trial of a stage is chosen by, in percent."""

    validation_accuracy: Percent


class Kept(_File):
    """What a random mask takes from the ticket: how many weights it keeps of every layer."""

    kept_by_layer: dict[str, Annotated[int, Field(ge=0)]]


class StageFacts(_File):
    """A stage as ``stages.json`` names it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    title: str
    role: Literal["search", "preparation", "ticket", "control", "tuned", "twin"]
    rung: str = ""


class StagesFile(_File):
    """``stages.json``: the stages of every seed, in the order they run."""

    version: int
    stages: Annotated[list[StageFacts], Len(1)]


class StageResult(Facts):
    """A finished stage's ``result.json``; the accuracies are in percent."""

    test_accuracy: Percent
    test_accuracy_flip: Percent | None = None
    validation_accuracy: Percent
    best_epoch: int | None = None
    condition: str = ""
    history: list[Epoch] = []
    kept_by_layer: dict[str, int] = {}


class FinishedStage(StageResult):
    """The same with what later stages and the run's table need: the run goes on with it."""

    bn_affine: bool
    kept_by_layer: dict[str, int]


class Compared(_File):
    """A ticket minus one other stage, in percentage points."""

    control: str
    title: str = ""
    of: str = "ticket"
    difference: float
    low: float | None
    high: float | None
    basis: str | None
    samples: int | None = None
    ticket_accuracy: Percent
    control_accuracy: Percent
    trained: bool | None = None
    """Whether the other stage was; None where the file does not say."""

    @model_validator(mode="after")
    def _both_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval of one end")
        return self

    @property
    def ticket(self) -> str:
        """The stage the control is compared with."""
        return self.of.replace(" ", "_")


class Budget(_File):
    """How well a trained control was trained; the accuracies are on the validation split."""

    epochs: Count
    full: Percent
    tuned: bool
    rises: bool
    half_epochs: Count | None = None
    half: Percent | None = None
    edge: bool = False


class Rung(_File):
    """One ticket against its controls."""

    outcome: Outcome
    comparisons: dict[str, Compared]
    floor: dict[str, Compared] = {}
    beside: dict[str, Compared] = {}
    budget: dict[str, Budget] = {}
    fine_tuning: dict[str, Compared] = {}

    @property
    def own(self) -> list[Compared]:
        """Its comparisons, those that judge nothing after the others."""
        pairs = (self.comparisons, self.beside, self.fine_tuning)
        return [pair for table in pairs for pair in table.values()]


class Verdict(Rung):
    """What the controls say about a run; of a ladder that is its last rung's, and ``rungs``."""

    sentences: list[str]
    margin: Count
    confidence: Annotated[float, Field(gt=0, lt=1)]
    seeds: int
    rungs: dict[str, Rung] = {}

    @property
    def pairs(self) -> list[Compared]:
        """All comparisons: of a ladder those of every rung, one rung after the other."""
        if not self.rungs:
            return self.own
        return [pair for rung in self.rungs.values() for pair in rung.own]


class RunResult(_File):
    """A finished run's ``result.json``."""

    name: str
    hash: str
    seeds: Annotated[list[int], Len(1)]
    condition: str
    device: str
    threads: int = 0
    """0 where it is not said: it changes no result."""
    verdict: Verdict
    stages: Annotated[list[StageRow], Len(1)]
    notes: list[str] = []
    tickets: list[str] = []

    @model_validator(mode="after")
    def _all_seeds(self) -> Self:
        counts = {len(part) for stage in self.stages for part in (stage.test_accuracy,)}
        if counts != {len(self.seeds)}:
            raise ValueError("not an accuracy for every seed")
        tokens = {stage.tokens is None for stage in self.stages}
        if len(tokens) > 1:
            raise ValueError("patches of some stages only")
        return self


class MeasuredSet(_File):
    """The images that were measured on."""

    name: str
    part: str
    images: int
    of: int


class Layer(Operations):
    """One synapse, or one product of the attention; its counts are for one image."""

    name: str
    group: str
    kind: str
    shape: list[int] | None = None
    weights: Count
    kept: Count
    nonzero: Count
    calls: Count
    input: str
    input_density: Share
    binary: bool | None = None
    """Whether its weights are signs times one scale; None where the file does not say."""


class Neurons(_File):
    """The neurons of one layer; ``rate`` is the share that fires, one per time step."""

    name: str
    kind: str
    size: Count
    rate: list[Share]
    updates: Count = 0.0


class Sparsity(_File):
    """The four kinds, each a share by itself, and the file."""

    mask_density: Share
    zero_weights: Share
    activation_sparsity: Share
    zero_filters: Count | None = None
    filters: Count | None = None
    zero_channels: Count | None = None
    channels: Count | None = None
    file_bytes: Count
    fp32_bytes: Count
    entropy_bytes: Count


class Energy(_File):
    """Picojoule an image by one table of energies; the total is without the membranes."""

    table: str
    formula: str = ""
    source: str = ""
    macs_pj: Count = 0.0
    acs_pj: Count = 0.0
    updates_pj: Count = 0.0
    total_pj: Count
    dense_pj: Count | None = None
    """Were nothing zero and everything multiplied."""
    memory_pj: Count | None = None
    """Bytes moved beside it; not in files of earlier versions, as the next two."""
    with_memory_pj: Count | None = None
    dense_with_memory_pj: Count | None = None


class Totals(_File):
    """``measure.json`` of a stage without its layers."""

    images_of: Annotated[MeasuredSet, Field(alias="set")]
    timesteps: int
    static: bool = True
    accuracy: Percent
    groups: dict[str, Operations]
    total: Operations
    sparsity: Sparsity
    energy: list[Energy] = []


class Measure(Totals):
    """``measure.json`` of a stage that is shown layer by layer."""

    layers: list[Layer]
    neurons: list[Neurons]
