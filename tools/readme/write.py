"""Write the tables of README.md and docs/results.md from the files in results/.

python tools/readme/write.py           rewrite the part between the markers
python tools/readme/write.py --check   exit 1 if one of them is not up to date

README.md gets five rows, chosen by the rule in ``readme_tables/five_rows.py``. docs/results.md gets
all: first one row per outcome, per study and per timed net, then every stage, every contender and
every study's figure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from readme_tables import engine, exports, speed
from readme_tables.costs import energy_table
from readme_tables.experiments import find_table, outcome_table, train_table
from readme_tables.five_rows import five_rows
from readme_tables.methods import comparison_table
from readme_tables.studies import read_studies, studies_table, study_part

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/results.md")
RESULTS = ROOT / "results"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main() -> int:
    old = [page for page in PAGES if (ROOT / page).read_text() != rewritten(page)]
    for page in old:
        if "--check" in sys.argv[1:]:
            print(f"{page}: the tables are not those of results/; run tools/readme/write.py")
        else:
            (ROOT / page).write_text(rewritten(page))
    return int(bool(old) and "--check" in sys.argv[1:])


def rewritten(page: str, results: Path = RESULTS) -> str:
    """A page, by its path below the root, with its tables made anew."""
    start, rest = (ROOT / page).read_text().split(BEGIN)
    end = rest.split(END)[1]
    place = (ROOT / page).parent
    if page == "README.md":
        parts = five_rows(results)
    else:
        parts = [*summary(results, place), *tables(results, place)]
    body = "".join(f"\n{part}\n" for part in parts)
    return f"{start}{BEGIN}\n{body}{END}{end}"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The results in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def tables(results: Path, place: Path) -> list[str]:
    """All tables, as Markdown; links to studies start at ``place``."""
    parts = []
    for path in sorted(results.glob("find-*.jsonl")):
        parts += [find_table(row, path) for row in rows_of(path)]
    parts += [train_table(rows_of(path), path) for path in sorted(results.glob("train-*.jsonl"))]
    parts += [study_part(study, place) for study in read_studies(results)]
    for path in sorted(results.glob("compare-*.jsonl")):
        parts += [comparison_table(row, path) for row in rows_of(path)]
    parts += [energy_table(rows_of(p), p) for p in sorted(results.glob("measure-*.jsonl"))]
    for name, make in {**engine.MAKERS, **speed.MAKERS, **exports.MAKERS}.items():
        path = results / f"{name}.jsonl"
        if path.exists():
            parts.append(make(rows_of(path), path))
    return parts


def summary(results: Path, place: Path) -> list[str]:
    """One row per outcome: each ticket, and each rung of a ladder, beside its controls; then one
    row per study, and one per net in the packed engine.
    """
    found = [row for path in sorted(results.glob("find-*.jsonl")) for row in rows_of(path)]
    parts = [outcome_table(found, place, ROOT)] if found else []
    studies = read_studies(results)
    if studies:
        parts.append(studies_table(studies, place))
    timed = results / "engine.jsonl"
    if timed.exists():
        parts.append(engine.short_table(rows_of(timed), timed))
    return parts


if __name__ == "__main__":
    sys.exit(main())
