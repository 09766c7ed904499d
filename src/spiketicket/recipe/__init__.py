"""A recipe: everything that decides a result, see :mod:`.sections` and :mod:`.training`.

Its file: :mod:`.read`.

The names are imported when they are first used: the registry beside them needs no pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spiketicket.recipe.read import (
        as_written,
        given_tables,
        load_recipe,
        parse_data,
        parse_recipe,
        placed_root,
        read_tables,
        recipe_tables,
        setting_texts,
        to_dict,
        to_toml,
    )
    from spiketicket.recipe.section import Count, Epochs, Microseconds, Section, Seed
    from spiketicket.recipe.sections import (
        ControlsConfig,
        DataConfig,
        FileSafe,
        Inside,
        MethodConfig,
        ModelConfig,
        NeuronConfig,
        Recipe,
        VerdictConfig,
    )
    from spiketicket.recipe.training import (
        OptimizerConfig,
        RampStep,
        Rate,
        ScoreOptimizerConfig,
        TrainConfig,
        WeightOptimizerConfig,
    )

__all__ = [
    "ControlsConfig",
    "Count",
    "DataConfig",
    "Epochs",
    "FileSafe",
    "Inside",
    "MethodConfig",
    "Microseconds",
    "ModelConfig",
    "NeuronConfig",
    "OptimizerConfig",
    "RampStep",
    "Rate",
    "Recipe",
    "ScoreOptimizerConfig",
    "Section",
    "Seed",
    "TrainConfig",
    "VerdictConfig",
    "WeightOptimizerConfig",
    "as_written",
    "given_tables",
    "load_recipe",
    "parse_data",
    "parse_recipe",
    "placed_root",
    "read_tables",
    "recipe_tables",
    "setting_texts",
    "to_dict",
    "to_toml",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spiketicket.recipe import read, section, sections, training

    owners = (read, section, training, sections)
    return getattr(next(owner for owner in owners if name in vars(owner)), name)


def __dir__() -> list[str]:
    """The public names, whether they were used or not."""
    return sorted(__all__)
