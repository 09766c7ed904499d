"""What an object of a lower layer asks of ``report/`` when a person looks at it.

Tickets, data sets and results show themselves, and what draws them lies above them. It is found by
its name when it is asked for, here and nowhere else, so that no layer imports from one above it.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

from spiketicket.errors import cut, plain

_LONGEST = 100


def notebook(function: str, *arguments: Any) -> Any:
    """Call a function of ``report/notebook.py``."""
    return getattr(importlib.import_module("spiketicket.report.notebook"), function)(*arguments)


class Drawn:
    """Shows itself in a notebook by the function of ``report/notebook.py`` that ``drawn_by`` names;
    where what that needs is not installed, as it does elsewhere.
    """

    drawn_by: ClassVar[str]

    def _repr_html_(self) -> str | None:
        try:
            return str(notebook(self.drawn_by, self))
        except ModuleNotFoundError:
            return None


def brief(text: object) -> str:
    """A text of a file as a line of a ``repr``: safe to show, and not long."""
    return cut(plain(str(text)), _LONGEST)
