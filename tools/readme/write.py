"""Write the tables of README.md and docs/results.md from the files in results/.

python tools/readme/write.py           rewrite the part between the markers
python tools/readme/write.py --check   exit 1 if one of them is not up to date

README.md gets five rows, chosen by the rule in ``readme_tables/five_rows.py``, and the picture of
the campaign on CIFAR-10 where that was drawn. docs/results.md gets
all: first one row per outcome, per study and per timed net, then every stage, every contender and
every study's figure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from readme_tables import engine, exports, speed
from readme_tables.campaign import campaign_picture, campaign_tables
from readme_tables.costs import energy_table
from readme_tables.early import early_table
from readme_tables.experiments import find_table, outcome_table, train_table
from readme_tables.five_rows import five_rows
from readme_tables.lines import read_lines
from readme_tables.methods import comparison_table
from readme_tables.recipe_parts import parts_table, precision_table
from readme_tables.studies import read_studies, studies_table, study_part
from readme_tables.verdicts import NOTE

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
        parts = [*five_rows(results), *campaign_picture(results)]
    else:
        parts = [*summary(results, place)]
        for title, made in sections(results, place).items():
            parts += [f"## {title}", *made] if made else []
    body = "".join(f"\n{part}\n" for part in parts)
    return f"{start}{BEGIN}\n{body}{END}{end}"


def tables(results: Path, place: Path) -> list[str]:
    """All tables, as Markdown; links to studies start at ``place``."""
    return [part for parts in sections(results, place).values() for part in parts]


def sections(results: Path, place: Path) -> dict[str, list[str]]:
    """The tables by the headings they stand under."""

    def made(pattern: str, make: Callable[..., str]) -> list[str]:
        return [make(read_lines(path), path) for path in sorted(results.glob(pattern))]

    def each(pattern: str, make: Callable[..., str]) -> list[str]:
        paths = sorted(results.glob(pattern))
        return [make(row, path) for path in paths for row in read_lines(path)]

    def timed(makers: Mapping[str, Callable[..., str]]) -> list[str]:
        return [part for name, make in makers.items() for part in made(f"{name}.jsonl", make)]

    return {
        "Tickets and their controls": [
            *each("find-*.jsonl", find_table),
            *made("train-*.jsonl", train_table),
            *made("campaign-*.jsonl", campaign_tables),
        ],
        "The paper's tables and figures": [study_part(s, place) for s in read_studies(results)],
        "Parts of a recipe": [
            *made("recipe_parts.jsonl", parts_table),
            *made("precision.jsonl", precision_table),
        ],
        "Methods compared": each("compare-*.jsonl", comparison_table),
        "Operations and energy": [
            *made("measure-*.jsonl", energy_table),
            *made("early-exit.jsonl", early_table),
        ],
        "The engine and the ticket file": timed(engine.MAKERS),
        "Training, data and reports": timed(speed.MAKERS),
        "The zoo and exports": timed(exports.MAKERS),
    }


def summary(results: Path, place: Path) -> list[str]:
    """One row per outcome: each ticket, and each rung of a ladder, beside its controls; then one
    row per study, and one per net in the packed engine.
    """
    found = [row for path in sorted(results.glob("find-*.jsonl")) for row in read_lines(path)]
    parts = [NOTE, outcome_table(found, place, ROOT)] if found else []
    studies = read_studies(results)
    if studies:
        parts.append(studies_table(studies, place))
    timed = results / "engine.jsonl"
    if timed.exists():
        parts.append(engine.short_table(read_lines(timed), timed))
    return parts


if __name__ == "__main__":
    sys.exit(main())
