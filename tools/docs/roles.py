"""For the API reference: Sphinx roles in docstrings, as in :func:`find`, become plain code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod):(?=`)")


class Roles(griffe.Extension):
    """Takes the roles away while griffe collects the docstrings."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _ROLE.sub("", obj.docstring.value)
