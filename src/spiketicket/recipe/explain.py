"""What every key of a recipe is: from the types, and from the docstrings that the reference has.

A docstring stands below its field. Nothing is written here a second time.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spiketicket.errors import UserError, asked, did_you_mean, nearest
from spiketicket.recipe import registry
from spiketicket.recipe.described import described, documented, plain_text, summary
from spiketicket.recipe.sections import CHOICES, ControlsConfig, Recipe
from spiketicket.recipe.toml import toml_text


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of a recipe: ``path`` is ``section.key``, all others are texts for people.

    ``default`` is as TOML has it, "" where the key is required, and then there is an ``example``.
    ``choices`` are the names of the section that have the key; none of them means that all do.
    """

    path: str
    kind: str
    range: str
    default: str
    example: str
    meaning: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section of a recipe, or the keys of one of its names: what it is, its keys and names."""

    path: str
    meaning: str
    keys: tuple[Key, ...]
    names: Mapping[str, str]
    """What the section's ``name`` may be, and what each of them is."""


def explain(target: str = "") -> tuple[Part | Key, ...]:
    """What ``target`` is: ``section``, ``section.key``, ``section.name``, or "" for all sections.

    A key by itself is looked for in all sections.

    Raises:
        UserError: there is no such section, name or key; says which are near.
    """
    if not target:
        return _whole()
    section, _, rest = target.partition(".")
    if section not in Recipe.model_fields:
        found = () if rest else _everywhere(section)
        if found:
            return found
        remedy = asked(elsewhere(target.rpartition(".")[2])) or _near(section)
        raise UserError("no such section of a recipe", value=target, remedy=remedy)
    if section in CHOICES:
        return _in_choices(section, rest)
    return _in_model(Recipe, section, rest)


def elsewhere(key: str, here: str = "") -> list[str]:
    """Paths of the keys of one name in all sections but at ``here``, those of all choices too."""
    return [path for path in _places(key) if path != here]


def of_others(section: str, key: str) -> str:
    """Which other choices of a section have a key, as a remedy; "" where none has."""
    names = _having(_family(section), key) if section in CHOICES else []
    return f"It is a key of {section}.name = {' or '.join(names)}" if names else ""


def example(field: FieldInfo, key: str) -> str:
    """A key as a recipe has it, ``density = 0.2``; "" where its field names no example."""
    return f"{key} = {toml_text(field.examples[0])}" if field.examples else ""


def section_example(model: type[BaseModel]) -> str:
    """What a section needs at least: ``epochs = 20 and batch_size = 64``."""
    needed = ((k, f) for k, f in model.model_fields.items() if f.is_required())
    return " and ".join(filter(None, (example(field, key) for key, field in needed)))


def meaning(model: type[BaseModel], key: str) -> str:
    """The docstring below a field, in one line of plain text; "" where there is none."""
    if issubclass(model, ControlsConfig) and key not in documented(model):
        return summary(_folder("methods") / "controls" / f"{key}.py")
    return plain_text(documented(model).get(key, ""))


def _whole() -> tuple[Part | Key, ...]:
    own = [key for key, f in Recipe.model_fields.items() if _section(f) is None]
    found: list[Part | Key] = [_key(Recipe, key, key) for key in own]
    for key, field in Recipe.model_fields.items():
        model = _section(field)
        if model is not None:
            found.append(_part(key, model, meaning(Recipe, key)))
    return tuple(found)


def _part(path: str, model: type[BaseModel], what: str, above: str = "") -> Part:
    """``above`` is the path that the keys are below, where it is another one."""
    below = _keys(model, above or path)
    keys = tuple(_key(owner, place, place.rpartition(".")[2]) for place, owner, _ in below)
    names: dict[str, str] = {}
    if path in CHOICES:
        family = _family(path)
        names = {n: summary(_folder(family) / f"{n}.py") for n in registry.names(family)}
    return Part(path=path, meaning=what, keys=keys, names=names)


def _in_model(model: type[BaseModel], path: str, rest: str) -> tuple[Part | Key, ...]:
    """``path`` is a field of ``model``; ``rest`` names what is below it."""
    key = path.rpartition(".")[2]
    inner = _section(model.model_fields[key])
    if inner is None:
        if rest:
            raise UserError("is a key: nothing is below it", value=f"{path}.{rest}")
        return (_key(model, path, key),)
    if not rest:
        return (_part(path, inner, meaning(model, key)),)
    name, _, below = rest.partition(".")
    if name not in inner.model_fields:
        raise _no_key(path, name, inner)
    return _in_model(inner, f"{path}.{name}", below)


def _in_choices(section: str, rest: str) -> tuple[Part | Key, ...]:
    family, base = CHOICES[section]
    if not rest:
        return (_part(section, base, meaning(Recipe, section)),)
    name, _, below = rest.partition(".")
    if name in registry.names(family):
        config = registry.load(family, name).Config
        if below:
            key, _, deeper = below.partition(".")
            if key not in config.model_fields:
                raise _no_key(f"{section}.{name}", key, config)
            return _in_model(config, f"{section}.{key}", deeper)
        what = plain_text(inspect.getdoc(config) or "")
        return (_part(f"{section}.{name}", config, what, section),)
    found = _of_choices(section, base, rest)
    if not found:
        known = sorted({*base.model_fields, *_all_keys(family), *registry.names(family)})
        remedy = asked(elsewhere(name)) or did_you_mean(name, known)
        raise UserError("no such key", where=section, value=name, remedy=remedy)
    return found


def _of_choices(section: str, base: type[BaseModel], rest: str) -> tuple[Key, ...]:
    """A key as each choice of a section has it; choices that have it alike are together."""
    name, _, below = rest.partition(".")
    if name in base.model_fields and not below:
        common = _key(base, f"{section}.{name}", name)
    else:
        common = None
    alike: dict[Key, list[str]] = {}
    for choice in registry.names(_family(section)):
        config = _config(_family(section), choice)
        if config is None or name not in config.model_fields or (common and name == "name"):
            continue
        try:
            found = _in_model(config, f"{section}.{name}", below)[0]
        except UserError:
            continue
        if isinstance(found, Key) and found != common:
            alike.setdefault(found, []).append(choice)
    others = [Key(**{**vars(key), "choices": tuple(names)}) for key, names in alike.items()]
    return (*([common] if common else []), *others)


def _everywhere(key: str) -> tuple[Part | Key, ...]:
    """The keys of one name in all sections."""
    return tuple(found for path in _places(key) for found in explain(path))


def _places(key: str) -> list[str]:
    """Paths of the keys of one name in all sections; of choices where no section has one itself.

    For the choices their files are imported, and PyTorch with them.
    """
    found = [
        path
        for section, field in Recipe.model_fields.items()
        if (model := _section(field)) is not None
        for path, _, _ in _keys(model, section)
        if path.endswith(f".{key}")
    ]
    return found or [
        f"{section}.{key}" for section, (family, _) in CHOICES.items() if _having(family, key)
    ]


def _near(name: str) -> str:
    """Sections and keys that are called nearly so."""
    keys = {path.rpartition(".")[2] for path in _all_paths()}
    near = asked(nearest(name, [*Recipe.model_fields, *sorted(keys)], most=3))
    return " ".join(filter(None, (near, f"Sections: {', '.join(Recipe.model_fields)}")))


def _all_paths() -> Iterator[str]:
    for section, field in Recipe.model_fields.items():
        model = _section(field)
        yield from (path for path, _, _ in _keys(model, section)) if model else (section,)
        yield from (f"{section}.{key}" for key in _all_keys(_family(section)))


def _having(family: str, key: str) -> list[str]:
    """The choices of a family that have a key; those that cannot be imported are left out."""
    configs = ((name, _config(family, name)) for name in registry.names(family))
    return [name for name, config in configs if config and key in config.model_fields]


def _all_keys(family: str) -> set[str]:
    if not family:
        return set()
    configs = (_config(family, name) for name in registry.names(family))
    return {key for config in configs if config for key in config.model_fields}


def _config(family: str, name: str) -> type[BaseModel] | None:
    try:
        found: type[BaseModel] = registry.load(family, name).Config
    except UserError:
        return None
    return found


def _no_key(path: str, name: str, model: type[BaseModel]) -> UserError:
    remedy = asked(elsewhere(name)) or did_you_mean(name, sorted(model.model_fields))
    return UserError("no such key", where=path, value=name, remedy=remedy)


def _keys(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel], FieldInfo]]:
    """The keys below a section, with those of the tables in it: path, its table, its field."""
    for key, field in model.model_fields.items():
        inner = _section(field)
        if inner is None:
            yield f"{path}.{key}", model, field
        else:
            yield from _keys(inner, f"{path}.{key}")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _key(model: type[BaseModel], path: str, key: str) -> Key:
    field = model.model_fields[key]
    kind, limits = described(field.annotation, tuple(field.metadata))
    required = field.is_required()
    default = None if required else field.get_default(call_default_factory=True)
    absent = "none" if default is None else toml_text(default)
    return Key(
        path=path,
        kind=kind,
        range=limits,
        default="" if required else absent,
        example=example(field, key),
        meaning=meaning(model, key),
    )


def _folder(family: str) -> Path:
    return Path(__file__).parent.parent / family


def _family(section: str) -> str:
    return CHOICES[section][0] if section in CHOICES else ""
