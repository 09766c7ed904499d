"""Write the tables of README.md and docs/results.md from the files in results/.

python benchmarks/readme.py           rewrite the part between the markers
python benchmarks/readme.py --check   exit 1 if one of them is not up to date

README.md gets a row an outcome, a row a study and a row a timed net, docs/results.md every arm,
every contender and every study's figure.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from readme_tables import engine, exports, speed
from readme_tables.costs import energy_table
from readme_tables.experiments import find_table, summary_rows, train_table
from readme_tables.methods import comparison_table
from readme_tables.studies import read_studies, studies_table, study_part

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/results.md")
RESULTS = ROOT / "results"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main() -> int:
    old = [page for page in PAGES if (ROOT / page).read_text() != rewritten(page)]
    for page in old:
        if "--check" in sys.argv[1:]:
            print(f"{page}: the tables are not those of results/; run benchmarks/readme.py")
        else:
            (ROOT / page).write_text(rewritten(page))
    return int(bool(old) and "--check" in sys.argv[1:])


def rewritten(page: str, results: Path = RESULTS) -> str:
    """A page, by its path below the root, with its tables made anew."""
    start, rest = (ROOT / page).read_text().split(BEGIN)
    end = rest.split(END)[1]
    place = (ROOT / page).parent
    parts = summary(results, place) if page == "README.md" else tables(results, place)
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
    """A row an outcome: each ticket, and each rung of a ladder, beside its controls; then a row a
    study, and a row a net in the packed engine.
    """
    lines = [
        "| recipe | net | ticket | its accuracy % | dense net % | random mask or patches,"
        " trained % | verdict |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for path in sorted(results.glob("find-*.jsonl")):
        for result in rows_of(path):
            lines += summary_rows(result)
    studies = read_studies(results)
    told = [studies_table(studies, place)] if studies else []
    timed = results / "engine.jsonl"
    if timed.exists():
        told.append(engine.short_table(rows_of(timed), timed))
    return ["\n".join(lines), *told]


if __name__ == "__main__":
    sys.exit(main())
