"""The package's own C libraries: where they are taken from, and what is said without them."""

import ctypes
import platform
import shutil
import sys
import types
from pathlib import Path

import pytest

from spiketicket.engine import library
from spiketicket.errors import UserError
from spiketicket.machine import libraries

HAVE = ("generic", "avx2")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package ``made`` in two folders, as of an editable installation, without a library."""
    made = types.ModuleType("made")
    made.__path__ = [str(tmp_path / "sources"), str(tmp_path / "built")]
    monkeypatch.setitem(sys.modules, "made", made)
    for folder in made.__path__:
        (tmp_path / folder).mkdir()
    return tmp_path


def test_a_library_that_was_not_built_is_told_with_its_remedy(package):
    with pytest.raises(UserError, match=r"C library thing was not built.*Install a C compiler"):
        libraries.load("made", "thing", {})


def test_a_library_is_taken_from_the_package_and_from_nowhere_else(package, monkeypatch):
    elsewhere = package / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "libthing.so").write_bytes(b"planted")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(elsewhere))
    with pytest.raises(UserError, match="was not built"):
        libraries.load("made", "thing", {})
    (package / "built" / "libthing.so").write_bytes(b"no library")
    with pytest.raises(UserError, match=r"built/libthing.so: is not the C library thing"):
        libraries.load("made", "thing", {})


@pytest.mark.skipif(not library.available(), reason="no C library was built")
def test_a_library_without_a_function_is_refused(package):
    shutil.copy(library._library()._name, package / "built" / "libthing.so")
    found = libraries.load("made", "thing", {"st_levels": (ctypes.c_uint, [])})
    assert found.st_levels() & 1
    with pytest.raises(UserError, match=r"is not the C library thing.*st_nothing"):
        libraries.load("made", "thing", {"st_nothing": (ctypes.c_int, [])})


@pytest.mark.skipif(not library.available(), reason="no C library was built")
@pytest.mark.skipif(sys.platform != "linux", reason="looks into an ELF file")
def test_a_library_that_was_cut_off_is_refused_and_kills_nobody(package):
    content = Path(library._library()._name).read_bytes()
    place = package / "built" / "libthing.so"
    for size in (0, 100, len(content) // 2, len(content) - 1):
        place.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"is not the C library thing.*Install a C compiler"):
            libraries.load("made", "thing", {})
    place.write_bytes(content)
    assert libraries.load("made", "thing", {"st_levels": (ctypes.c_uint, [])}).st_levels() & 1


def test_a_level_is_chosen_by_argument_then_variable_then_processor(monkeypatch):
    monkeypatch.delenv("LEVEL", raising=False)
    assert libraries.levels_in(0b011) == HAVE
    assert libraries.choose_level(None, "LEVEL", HAVE) == "avx2"
    monkeypatch.setenv("LEVEL", "generic")
    assert libraries.choose_level(None, "LEVEL", HAVE) == "generic"
    assert libraries.choose_level("avx2", "LEVEL", HAVE) == "avx2"
    monkeypatch.setenv("LEVEL", "avx512")
    with pytest.raises(UserError, match=r"LEVEL: .*lacks the level.*It runs generic, avx2"):
        libraries.choose_level(None, "LEVEL", HAVE)


@pytest.mark.parametrize(
    ("machine", "have", "said"),
    [
        ("x86_64", HAVE, "C with AVX2"),
        ("x86_64", ("generic",), "C with SSE2"),
        ("aarch64", ("generic",), "C with NEON"),
        ("arm64", ("generic",), "C with NEON"),
        ("riscv64", ("generic",), "C with the base set of riscv64"),
    ],
)
def test_the_instruction_set_is_named(monkeypatch, machine, have, said):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert libraries.state(have, "LEVEL") == said
    monkeypatch.setenv("LEVEL", "sse")
    assert libraries.state(have, "LEVEL").startswith("C, but LEVEL: must be one of")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_where_a_compiler_is_both_libraries_were_built():
    # the installation goes on without them, and the other tests would be skipped
    assert library.state().startswith("C with "), library.state()
    native = pytest.importorskip("spiketicket.neurons.native")
    assert native.state().startswith("C with "), native.state()


def test_the_engine_says_what_runs_without_its_library(monkeypatch):
    monkeypatch.setattr(libraries, "_ENDINGS", ())
    library._loaded.cache_clear()
    try:
        assert library.state().startswith("numpy, slowly: the C library spiketicket_engine was not")
        assert not library.available()
    finally:
        library._loaded.cache_clear()
