"""Code is loaded only from where nobody else can have put it; without a home it goes on."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from spiketicket.events.cache import cached
from spiketicket.machine import private
from spiketicket.machine.private import (
    make_private,
    own_compiler_cache,
    user_cache,
    why_not_private,
)
from spiketicket.neurons import native

pwd = pytest.importorskip("pwd")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
QUICK = "-O0 -march=native -shared -fPIC"
"""Compiles in a moment."""
needs_compiler = pytest.mark.skipif(native.find_compiler() is None, reason="needs a C compiler")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The user's cache folder, and a kernel that is not loaded yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(native, "_FLAGS", QUICK)
    native._try_library.cache_clear()
    native._NOTES.clear()
    yield tmp_path / "cache"
    native._try_library.cache_clear()
    native._NOTES.clear()


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file that of another user."""
    if os.getuid() == 0:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    else:
        me = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: me + 1)


def test_folders_are_for_their_owner_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        assert make_private(tmp_path / "a" / "b" / "c") == ""
    finally:
        os.umask(before)
    for part in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / part).stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707, 0o720, 0o1777])
def test_a_folder_that_others_write_to_is_not_private(tmp_path, mode):
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(mode)
    assert "can be written by others" in why_not_private(folder)


def test_a_folder_above_counts_unless_it_is_sticky(tmp_path):
    folder = tmp_path / "above" / "kernels"
    make_private(folder)
    (tmp_path / "above").chmod(0o777)
    assert str(tmp_path / "above") in why_not_private(folder)
    (tmp_path / "above").chmod(0o1777)
    assert why_not_private(folder) == ""


def test_another_users_file_and_a_link_are_not_private(tmp_path, monkeypatch):
    file, link = tmp_path / "x.so", tmp_path / "y.so"
    file.write_bytes(b"")
    file.chmod(0o700)
    link.symlink_to(file)
    assert why_not_private(file) == ""
    assert "is a symbolic link" in why_not_private(link)
    given_away(file, monkeypatch)
    assert "belongs to another user" in why_not_private(file)


@needs_compiler
def test_the_kernel_is_kept_for_its_owner_alone(cache):
    before = os.umask(0)
    try:
        assert native.available()
    finally:
        os.umask(before)
    (made,) = (cache / "spiketicket" / "kernels").glob("*.so")
    for part in (made, made.parent, made.parent.parent, cache):
        assert stat.S_IMODE(part.stat().st_mode) == 0o700
    assert native.note() == ""


@needs_compiler
@pytest.mark.parametrize("how", ["owner", "file", "folder", "above", "link"])
def test_a_planted_library_is_never_loaded(cache, monkeypatch, how):
    assert native.available()
    (made,) = (cache / "spiketicket" / "kernels").glob("*.so")
    made.unlink()
    made.write_bytes(b"planted: loading this would fail")
    made.chmod(0o700)
    if how == "owner":
        given_away(made, monkeypatch)
    elif how == "link":
        made.rename(made.with_name("else"))
        made.symlink_to(made.with_name("else"))
    else:
        {"file": made, "folder": made.parent, "above": cache}[how].chmod(0o777)
    native._try_library.cache_clear()
    assert native.available(), "compiled anew"
    assert "compiled anew by every process" in native.note()
    assert made.read_bytes().startswith(b"planted")


@needs_compiler
def test_a_cache_that_cannot_be_made_is_done_without(cache):
    cache.write_bytes(b"a file")
    assert native.available()
    assert "compiled anew by every process" in native.note()


def nobody(number: int) -> None:
    raise KeyError(number)


@pytest.fixture
def homeless(monkeypatch):
    """As in a container with a user that no file knows."""
    for name in ("HOME", "XDG_CACHE_HOME", "SPIKETICKET_CACHE", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(native, "_FLAGS", QUICK)
    native._try_library.cache_clear()
    native._NOTES.clear()
    yield
    native._try_library.cache_clear()
    native._NOTES.clear()


@needs_compiler
def test_without_a_home_there_is_one_note_and_no_folder(homeless, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert user_cache() is None
    assert native.available()
    assert native.available()
    assert [native.note()] == native._NOTES
    assert "no home folder" in native.note()
    found = cached({"x": 1}, dict)
    assert "no home folder" in found.notes[0]
    assert not list(tmp_path.iterdir())


def test_the_compilers_cache_is_the_users_own(cache, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    own_compiler_cache()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(cache / "spiketicket" / "inductor")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    own_compiler_cache()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"


def test_the_compilers_cache_without_a_home(homeless):
    own_compiler_cache()
    place = Path(os.environ.pop("TORCHINDUCTOR_CACHE_DIR"))
    assert why_not_private(place) == ""
    place.rmdir()


@pytest.mark.slow
def test_a_user_without_name_and_home_can_find(tmp_path):
    code = """
import os, pwd, sys
def nobody(number):
    raise KeyError(number)
pwd.getpwuid = nobody
os.chdir(sys.argv[1])
for name in ("HOME", "XDG_CACHE_HOME", "USER", "LOGNAME", "USERNAME", "LNAME"):
    os.environ.pop(name, None)
from spiketicket.cli import main
sys.argv = ["spiketicket", "train", "digits-binw", "--set", "train.epochs=1", "--set",
            "data.train_limit=100", "--set", "model.width=0.25"]
main()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr

    assert "Traceback" not in done.stderr
    assert done.stderr.count("compiled anew by every process") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_private_is_checked_on_posix_only(monkeypatch, tmp_path):
    monkeypatch.setattr(private.os, "name", "nt")
    assert why_not_private(tmp_path / "nothing") == ""
