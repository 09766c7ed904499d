"""One place writes to people, and nothing that a stranger wrote steers their terminal."""

import ast
import contextlib
import io
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spiketicket
from spiketicket.errors import RecipeError, UserError, cut, plain
from spiketicket.machine import output

pytestmark = pytest.mark.slow


SOURCE = Path(spiketicket.__file__).parent
HOSTILE = (
    "a\x1b]0;t\x07\x9b2J\u202e\u2066\u200b\ufeff\n\r\terror: forged\u2028\u2029\x85\udc80\u3164b"
)


@given(st.text(st.characters(exclude_categories=())))
def test_a_plain_text_is_one_printable_line(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert plain(shown) == shown
    if all(c == " " or (c.isalnum() and c.isascii()) for c in text):
        assert shown == text
    shown.encode()


def test_what_was_there_is_seen() -> None:
    assert plain("a\x1b[31m\n\u202eé±\udcff") == "a\\x1b[31m\\n\\u202eé±\\udcff"
    assert plain("a\n\tb\x07", keep="\n\t") == "a\n\tb\\x07"
    assert plain("\u3164\u2800\u00a0") == "\\u3164\\u2800\\xa0"
    assert cut("abcdef", 5) == "ab..."


def test_an_error_is_one_line_whatever_its_parts_are() -> None:
    class Odd:
        def __repr__(self) -> str:
            return HOSTILE

    error = UserError(HOSTILE, where=HOSTILE, value=Odd(), remedy=HOSTILE)
    assert str(error).isprintable()
    assert (error.where, error.what, error.remedy) == (HOSTILE, HOSTILE, HOSTILE)
    many = RecipeError([str(UserError("is wrong", where=HOSTILE)), f"x{HOSTILE}"])
    assert len(str(many).split("\n")) == len(many.problems) == 2
    assert all(line.isprintable() for line in many.problems)
    assert str(RecipeError(str(many))) == str(many)


Streams = tuple[io.StringIO, io.StringIO]


@contextlib.contextmanager
def streams() -> Iterator[Streams]:
    """Standard output and standard error of a block; what the block changed is put back."""
    kept = warnings.showwarning, sys.excepthook, logging.lastResort
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()) as out,
            contextlib.redirect_stderr(io.StringIO()) as err,
        ):
            yield out, err
    finally:
        warnings.showwarning, sys.excepthook, logging.lastResort = kept


def test_everything_written_is_filtered() -> None:
    with streams() as (out, err), warnings.catch_warnings():  # pytest makes warnings errors
        warnings.simplefilter("always")
        output.prepare()
        output.say(HOSTILE)
        output.tell(HOSTILE)
        output.note(HOSTILE)
        output.fail(HOSTILE, HOSTILE)
        output.say_json({"a": HOSTILE})
        warnings.warn(HOSTILE, stacklevel=1)
        assert logging.lastResort is not None
        logging.lastResort.handle(logging.makeLogRecord({"msg": HOSTILE}))
        try:
            raise ValueError(HOSTILE)
        except ValueError as error:
            sys.excepthook(ValueError, error, error.__traceback__)
    for text in (out.getvalue(), err.getvalue()):
        assert all(line.isprintable() for line in text.split("\n"))
    lines = err.getvalue().split("\n")
    assert sum(line.startswith("error: ") for line in lines) == 2
    assert sum(line.startswith("note: a\\x1b") for line in lines) == 3
    assert any(line.startswith("ValueError: a\\x1b") for line in lines)


def test_long_texts_are_cut() -> None:
    with streams() as (_, err):
        output.fail("x" * 10**6)
        output.fail(*["y"] * 1000)
    lines = err.getvalue().splitlines()
    assert len(lines[0]) <= output.LONGEST + 10
    assert len(lines) < 200
    assert lines[-1] == "error: and 900 more"


def test_a_standard_error_that_takes_nothing_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    for stream in (Full(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        output.tell("x")


def trees() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield name, node


# a pipe to the process that started it, not a person
PIPES = {"events/_worker.py", "cli/live.py"}  # live: lines of JSON in ASCII, which escapes all


def test_nothing_else_writes_to_people() -> None:
    found = set()
    for name, node in trees():
        if name == "machine/output.py" or name in PIPES:
            continue
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            last = called.rsplit(".", 1)[-1]
            if called == "print" or last in ("echo", "secho", "Console", "print_exc", "rprint"):
                found.add((name, called))
            if "sys.std" in called and last in ("write", "writelines"):
                found.add((name, called))
        if isinstance(node, ast.ImportFrom) and node.module in ("rich", "rich.console"):
            found |= {(name, a.name) for a in node.names if a.name == "print"}
    # a table or a line on a console whose cells are filtered where they are made
    assert {(n, c) for n, c in found if c != "console().print"} == set()


def test_every_text_file_has_a_stated_encoding() -> None:
    found = set()
    for name, node in trees():
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        given = {k.arg: k.value for k in node.keywords}
        called = node.func.attr
        if "encoding" in given:
            continue
        if called == "read_text" and not node.args:
            found.add((name, node.lineno))
        if called == "write_text" and len(node.args) < 2:
            found.add((name, node.lineno))
        if called in ("run", "Popen", "check_output") and "text" in given:
            found.add((name, node.lineno))
    assert found == set()


SAYS = """
from spiketicket.machine import output as _streams
_streams.prepare()
_streams.say("97.5 \\u00b1 0.7, 3 \\u00d7 3, \\u2026 \\u2581\\u2588 \\u4f60 \\ud800 \\u202e")
_streams.tell("\\u00e9")
from spiketicket.cli.console import print_facts, print_line, print_table
print_table(("a",), [["\\u00e9\\u4f60"]], title="\\u00b1")
print_facts([("\\u00e9", "\\ud800")])
print_line("\\u4f60")
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_encoding_makes_output_fail(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAYS],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode(encoding)
    assert "\\ud800" in out
    assert "\\u202e" in out
    assert ("97.5 ± 0.7" in out) == (encoding != "ascii")
    if encoding == "ascii":
        assert "97.5 +- 0.7, 3 x 3, ... 18 \\u4f60" in out
