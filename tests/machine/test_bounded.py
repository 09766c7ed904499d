from __future__ import annotations

import contextlib
import json
import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiketicket.errors import UserError
from spiketicket.machine import bounded
from spiketicket.machine.bounded import (
    max_memory,
    open_regular,
    parse_json,
    parse_memory,
    read_regular,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_takes_every_json_value_as_it_is(value):
    assert parse_json(json.dumps(value)) == value
    text = json.dumps(value, ensure_ascii=False)
    assert parse_json(text) == value


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_depth_is_bounded_without_recursion(opened):
    closed = "]" if opened == "[" else "}"
    assert parse_json(opened * 64 + "1" + closed * 64)
    for depth in (65, 900, 10**5):
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            parse_json(opened * depth + "1" + closed * depth)


def test_brackets_in_a_text_are_no_depth():
    value = "[" * 100 + '\\"' + "{" * 100
    assert parse_json(json.dumps([value])) == [value]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("9" * 400, "400 characters"),
        ("1." + "0" * 400, "402 characters"),
        ("1e400", "too large a number"),
        ("-1e400", "too large a number"),
        ("NaN", "not JSON"),
        ("-Infinity", "not JSON"),
        ('{"a":1,"a":2}', "a key comes twice"),
        (r'"\ud800"', "surrogates not allowed"),
        (r'"\udcff"', "surrogates not allowed"),
        ("[" + "," * 2**20, "holds more than"),
        ("", "Expecting value"),
    ],
)
def test_refuses(text, what):
    with pytest.raises(ValueError, match=what):
        parse_json(text)


def test_a_text_that_never_ends_is_read_once():
    """Not once from each quote in it: a header of 16 MB took hours."""
    with pytest.raises(ValueError, match="Unterminated"):
        parse_json('{"a": "' + r"\"" * 2**20)


@given(st.text(alphabet=string.printable))
def test_nothing_but_value_errors(text):
    with contextlib.suppress(ValueError):
        parse_json(text)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a file"):
        open_regular(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a file"):
        read_regular(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with pytest.raises(UserError, match="is not a file"):
        open_regular(tmp_path / "link")


def test_a_large_file_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_regular(tmp_path / "a", 10) == b"x" * 10
    with pytest.raises(UserError, match="larger than 9 bytes"):
        read_regular(tmp_path / "a", 9)


def test_memory(monkeypatch):
    assert parse_memory("4GiB") == 4 << 30
    assert parse_memory("500 M") == 500 << 20
    assert parse_memory("12345") == 12345
    for wrong in ("", "0", "-1", "4XB", "1e9", "9" * 99):
        with pytest.raises(UserError, match="is not a size of memory"):
            parse_memory(wrong)
    monkeypatch.delenv(bounded.MEMORY_VARIABLE, raising=False)
    assert max_memory() == 4 << 30
    monkeypatch.setenv(bounded.MEMORY_VARIABLE, "1MiB")
    assert max_memory() == 1 << 20
    monkeypatch.setenv(bounded.MEMORY_VARIABLE, "much")
    with pytest.raises(UserError, match="SPIKETICKET_MAX_MEMORY"):
        max_memory()
