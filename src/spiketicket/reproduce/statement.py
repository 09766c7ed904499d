"""What a study shows, in sentences, and whether it agrees with the paper.

A panel *agrees* where every claim about it is shown (:mod:`.claims`), *disagrees* where one is
contrary or of another size, and else is *undecided*, or *unfinished* where anything is missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from spiketicket.reproduce.claims import DECISIONS, Finding, find_all
from spiketicket.reproduce.collect import Row
from spiketicket.reproduce.study import Study

Agreement = Literal["agrees", "disagrees", "undecided", "unfinished"]


def agreement(findings: Sequence[Finding]) -> Agreement:
    """What a panel's findings come to."""
    decisions = {finding.decision for finding in findings}
    if decisions & {"contrary", "other size"}:
        return "disagrees"
    if "missing" in decisions or not decisions:
        return "unfinished"
    return "agrees" if decisions == {"shown"} else "undecided"


def sentences(study: Study, rows: Sequence[Row]) -> list[str]:
    """One line a panel: how far it agrees with the paper, then one a claim."""
    findings = find_all(study, rows)
    lines: list[str] = []
    for panel in dict.fromkeys(row.cell.panel for row in rows):
        own = [f for f in findings if f.panel == panel]
        name = next(row.cell.title for row in rows if row.cell.panel == panel)
        lines.append(f"**{name}**: {_overall(own)}")
        lines += [f"- {line}" for line in _by_claim(own)]
    return lines


def counted(findings: Sequence[Finding]) -> str:
    """How many findings of each decision there are, in words."""
    count = {words: sum(f.decision == d for f in findings) for d, words in DECISIONS.items()}
    return ", ".join(f"{n} {words}" for words, n in count.items() if n) or "no claim"


def counted_on(page: str) -> str:
    """What :func:`counted` says of all panels of a page, whose headlines end with it."""
    found = dict.fromkeys(DECISIONS.values(), 0)
    for headline in re.findall(r"^\*\*.+\*\*: .+ \((.+)\)\.$", page, re.MULTILINE):
        for words in found:
            told = re.search(rf"(?:^|, )(\d+) {re.escape(words)}(?=, \d|$)", headline)
            found[words] += int(told[1]) if told else 0
    return ", ".join(f"{n} {words}" for words, n in found.items() if n) or "no claim"


def not_shown(findings: Sequence[Finding]) -> str:
    """What could not be shown, and how large it would have had to be; empty where there is none."""
    open_ones = [f for f in findings if f.decision in {"undecided", "direction", "one seed"}]
    if not open_ones:
        return ""
    least = [f.detectable for f in open_ones if f.detectable is not None and _in_points(f)]
    told = f"Could not show {len(open_ones)} of {len(findings)} claims"
    if least:
        told += f"; of differences it had 80 % power from {min(least):.1f} points on at best"
        told += f", {max(least):.1f} at worst"
    return told + "."


def _in_points(finding: Finding) -> bool:
    return finding.claim.kind != "ratio"


def _overall(findings: Sequence[Finding]) -> str:
    words = {
        "agrees": "agrees with the paper",
        "disagrees": "disagrees with the paper",
        "undecided": "does not contradict the paper and does not show all of it",
        "unfinished": "unfinished",
    }
    return f"{words[agreement(findings)]} ({counted(findings)})."


def _by_claim(findings: Sequence[Finding]) -> list[str]:
    lines = []
    for claim in dict.fromkeys(f.claim.text for f in findings):
        own = [f for f in findings if f.claim.text == claim]
        told = "; ".join(f"{_label(f)}{DECISIONS[f.decision]}, {f.numbers}" for f in own)
        lines.append(f"{claim}: {told}.")
    return lines


def _label(finding: Finding) -> str:
    at = "" if finding.x is None else f" at {finding.x:g}"
    return f"{finding.series}{at} "
