"""Compiled code is kept where nobody else can write; without a home it goes on."""

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

pwd = pytest.importorskip("pwd")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


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


def nobody(number: int) -> None:
    raise KeyError(number)


@pytest.fixture
def homeless(monkeypatch):
    """As in a container with a user that no file knows."""
    for name in ("HOME", "XDG_CACHE_HOME", "SPIKETICKET_CACHE", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


def test_without_a_home_there_is_a_note_and_no_folder(homeless, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert user_cache() is None
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
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_private_is_checked_on_posix_only(monkeypatch, tmp_path):
    monkeypatch.setattr(private.os, "name", "nt")
    assert why_not_private(tmp_path / "nothing") == ""
