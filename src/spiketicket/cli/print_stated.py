"""What was found out about a ticket's own words."""

from __future__ import annotations

from collections.abc import Sequence

from spiketicket.cli.console import print_line, print_table
from spiketicket.experiment.stated import Check

_STYLES = {"fits": "green", "does not fit": "bold red", "not checked": "yellow"}


def print_checks(checks: Sequence[Check], *, title: str) -> None:
    """Print every check, and what they come to in a line."""
    rows = [[check.name, check.state, check.text] for check in checks]
    print_table(("check", "", "found"), rows, title=title, left=3)
    wrong = [check.name for check in checks if check.state == "does not fit"]
    left = sum(check.state == "not checked" for check in checks)
    rest = f"; {left} could not be checked" if left else ""
    if wrong:
        print_line(f"does not fit: {', '.join(wrong)}{rest}", _STYLES["does not fit"])
    else:
        print_line(f"all that could be checked fits{rest}", _STYLES["fits"])


def print_misfits(checks: Sequence[Check]) -> None:
    """Print what does not fit, a line each."""
    for check in checks:
        if check.state == "does not fit":
            print_line(f"{check.name} does not fit: {check.text}", _STYLES[check.state])
