"""The guard of the fuzz targets notices what it is there for, and undamaged inputs are taken."""

from __future__ import annotations

import importlib
import itertools

import fuzz_guard
import pytest
from fuzz_edits import CANARY
from fuzz_guard import Fault, limited
from fuzz_tickets import bases

from spiketicket.errors import UserError
from spiketicket.machine.bounded import parse_memory
from spiketicket.ticket import Ticket


def test_a_user_error_is_no_fault():
    with limited("step") as refused:
        raise UserError("is wrong")
    assert [str(error) for error in refused] == ["is wrong"]


def test_any_other_exception_is_one_and_names_the_function():
    with (
        pytest.raises(Fault, match=r"^step: TypeError in bounded\.parse_memory$"),
        limited("step"),
    ):
        parse_memory(4096)


def test_exit_memory_time_and_imports_are_faults(monkeypatch):
    with pytest.raises(Fault, match="SystemExit"), limited("step"):
        raise SystemExit
    with pytest.raises(Fault, match="took more memory"), limited("step", 1 << 20):
        bytearray(2 << 20)
    with pytest.raises(Fault, match="MemoryError"), limited("step", None):
        bytearray(fuzz_guard.MOST_MEMORY + (64 << 30))
    with pytest.raises(Fault, match="imported a module that a file names"), limited("step"):
        importlib.import_module(CANARY)
    monkeypatch.setattr(fuzz_guard, "CPU_SECONDS", 0.05)
    with pytest.raises(Fault, match="_TooSlow"), limited("step"):
        sum(1 for _ in itertools.count())


def test_a_known_fault_does_not_fail(monkeypatch):
    fault = "step: ZeroDivisionError in no function of ours"
    monkeypatch.setitem(fuzz_guard.KNOWN_FAULTS, fault, "for this test")
    with limited("step"):
        _ = 1 // 0


def test_undamaged_tickets_come_through_being_taken_apart_and_sealed():
    for parts in bases():
        assert len(Ticket.from_bytes(parts.sealed()).layers) > 0
