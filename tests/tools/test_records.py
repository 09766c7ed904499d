"""A record with more than four fields is made with their names."""

import ast
from pathlib import Path

import pytest

import spiketicket

ROOT = Path(spiketicket.__file__).parents[2]
MOST = 4


def positional(node: ast.ClassDef) -> int:
    """How many fields of a dataclass or a NamedTuple can be given without their names."""
    kinds = [ast.unparse(kind) for kind in (*node.decorator_list, *node.bases)]
    records = [kind for kind in kinds if "dataclass" in kind or kind.endswith("NamedTuple")]
    if not records or any("kw_only=True" in kind for kind in records):
        return 0
    fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
    return sum(": ClassVar" not in field and "init=False" not in field for field in fields)


@pytest.mark.slow
def test_records_of_many_fields_are_keyword_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for folder in ("src", "tests", "benchmarks", "tools", "examples")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and positional(node) > MOST
    ]
    assert wrong == []
