"""A recipe: everything that decides a result. See :mod:`spiketicket.recipe.sections`.

The names are imported when they are first used: the registry beside them needs no pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spiketicket.recipe.sections import (
        ControlsConfig,
        Count,
        DataConfig,
        Epochs,
        FileSafe,
        Inside,
        MethodConfig,
        Microseconds,
        ModelConfig,
        NeuronConfig,
        OptimizerConfig,
        RampStep,
        Rate,
        Recipe,
        ScoreOptimizerConfig,
        Section,
        Seed,
        TrainConfig,
        VerdictConfig,
        WeightOptimizerConfig,
        load_recipe,
        parse_data,
        parse_recipe,
        placed_root,
        read_tables,
        recipe_tables,
        to_dict,
        to_toml,
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
    "load_recipe",
    "parse_data",
    "parse_recipe",
    "placed_root",
    "read_tables",
    "recipe_tables",
    "to_dict",
    "to_toml",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spiketicket.recipe import sections

    return getattr(sections, name)
