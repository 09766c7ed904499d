"""Run folders as a report reads them: whatever can be read is, and the rest becomes a note.

A folder that is no run is an error. A file of a run that is missing, half-written or foreign is
not: the run is shown without it, with a note that names it (never by the machine's own path).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from spiketicket.errors import UserError
from spiketicket.machine.bounded import parse_json, read_regular
from spiketicket.machine.run_files import checked_result, read_predictions
from spiketicket.machine.run_models import Epoch, Measure, RunResult, StageResult, Totals
from spiketicket.methods.stages import expected_stages, main_stage
from spiketicket.recipe import read_tables
from spiketicket.report.numbers import counted
from spiketicket.report.runs import Run, Stage
from spiketicket.report.sample import Sample, read_sample

M = TypeVar("M", bound=BaseModel)
Note = Callable[[str], None]


def read_run(folder: Path, *, details: bool = True, label: str = "") -> Run:
    """Read a run folder; without ``details`` of a finished run only recipe and result.

    Raises:
        UserError: it is no run folder, or cannot be read at all.
    """
    notes: list[str] = []
    files = (folder / "recipe.toml", folder / "result.json")
    if not folder.is_dir() or not any(path.is_file() for path in files):
        remedy = "Give a folder with a recipe.toml in it, such as runs/digits-binw-0123456789"
        raise UserError("is no run folder", where=str(folder), remedy=remedy)
    label = label or folder.resolve().name
    recipe = _recipe(folder / "recipe.toml", notes.append)
    data = _json(folder / "data.json", folder, notes.append)
    checksum = str(data.get("checksum", "")) if isinstance(data, dict) else ""
    result = _checked(RunResult, folder / "result.json", folder, notes.append)
    stages: tuple[Stage, ...] = ()
    sample = None
    if details or result is None:
        stages = tuple(_stages(folder, recipe, result, notes.append))
        sample = _sample(folder, recipe, stages, notes.append)
    return Run(
        label=label,
        folder=folder,
        recipe=recipe,
        checksum=checksum,
        result=result,
        stages=stages,
        sample=sample,
        notes=tuple(notes),
    )


def _sample(
    folder: Path, recipe: Mapping[str, Any], stages: Sequence[Stage], note: Note
) -> tuple[str, Sample] | None:
    """The first that can be read: the ticket's, an earlier rung's, the dense net's, any."""
    first = (main_stage(recipe), "multisp", "pepsp", "patch", "ticket", "dense")
    place = {name: index for index, name in reversed(list(enumerate(first)))}
    for stage in sorted(stages, key=lambda s: (place.get(s.name, len(first)), s.seed)):
        path = folder / f"seed-{stage.seed}" / stage.name / "sample.npz"
        found = _tried(read_sample, path, folder, note)
        if found:
            return stage.name, found
    return None


def _stages(
    folder: Path, recipe: Mapping[str, Any], result: RunResult | None, note: Note
) -> list[Stage]:
    found = []
    for place in sorted(folder.glob("seed-*"), key=lambda p: (len(p.name), p.name)):
        number = place.name.removeprefix("seed-")
        if not number.isdecimal() or (result and int(number) not in result.seeds):
            continue
        there = [path.name for path in sorted(place.iterdir()) if path.is_dir()]
        order = [name for name in expected_stages(recipe) if name in there]
        order += [name for name in there if name not in order]
        shown = (main_stage(recipe), "dense")
        found += [
            _stage(place / name, folder, int(number), Measure if name in shown else Totals, note)
            for name in order
        ]
    return found


def _stage(place: Path, run: Path, seed: int, measured: type[Totals], note: Note) -> Stage:
    result = _checked(StageResult, place / "result.json", run, note)
    history = tuple(result.history) if result else _log(place / "log.jsonl", run, note)
    if result is None and (place / "checkpoint.pt").exists():
        where = place.relative_to(run)
        done = counted(len(history), "epoch")
        note(f"{where}: not finished, {done} done; `find` goes on from there")
    measure = _checked(measured, place / "measure.json", run, note)
    timing = _json(place / "timing.json", run, note) if result else None
    timing = timing if isinstance(timing, dict) else {}
    predictions = _tried(read_predictions, place / "predictions.npy", run, note)
    return Stage(
        name=place.name,
        seed=seed,
        result=result,
        history=history,
        measure=measure,
        predictions=predictions,
        timing=timing,
    )


def _recipe(path: Path, note: Note) -> Mapping[str, Any]:
    try:
        return read_tables(path)
    except (OSError, UserError) as error:
        note(f"{path.name}: cannot be read ({_short(error)})")
        return {}


def _json(path: Path, run: Path, note: Note) -> Any:
    try:
        return parse_json(read_regular(path).decode())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, UserError) as error:
        note(f"{path.relative_to(run)}: cannot be read ({_short(error)}); shown without it")
        return None


def _parsed(path: Path) -> Any:
    """JSON as it is; a loss in it may be infinite."""
    return parse_json(read_regular(path).decode(), constants=True)


def _checked(model: type[M], path: Path, run: Path, note: Note) -> M | None:
    try:
        value = _parsed(path)
        if path.name == "result.json":
            value = checked_result(value, path)
        return model.model_validate(value)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"{part}: " for part in (".".join(map(str, first["loc"])),) if part)
        what = first["msg"].lower().removeprefix("value error, ")
        note(f"{path.relative_to(run)}: {where}{what}; shown without it")
        return None
    except (OSError, ValueError, RecursionError, UserError) as error:
        note(f"{path.relative_to(run)}: cannot be read ({_short(error)}); shown without it")
        return None


def _log(path: Path, run: Path, note: Note) -> tuple[Epoch, ...]:
    """The lines that are whole; a process that was killed may have left half of one."""
    try:
        lines = read_regular(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UserError) as error:
        note(f"{path.relative_to(run)}: cannot be read ({_short(error)}); shown without it")
        return ()
    found: dict[int, Epoch] = {}
    bad = 0
    for line in lines:
        try:
            epoch = Epoch.model_validate(parse_json(line, constants=True))
        except (ValueError, RecursionError):
            bad += 1
        else:
            found[epoch.epoch] = epoch
    if bad:
        note(f"{path.relative_to(run)}: {bad} of {len(lines)} lines cannot be read; left out")
    return tuple(found[index] for index in sorted(found))


T = TypeVar("T")


def _tried(read: Callable[[Path], T], path: Path, run: Path, note: Note) -> T | None:
    if not path.exists():
        return None
    try:
        return read(path)
    except Exception as error:  # a damaged archive raises whatever its parts raise
        note(f"{path.relative_to(run)}: cannot be read ({_short(error)}); shown without it")
        return None


def _short(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UserError):
        return error.what.splitlines()[0][:120]
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
