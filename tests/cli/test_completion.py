"""Tab in a shell: real ones are asked what they offer; the words are those of the commands."""

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import Result

from spiketicket.cli.completion import words

Run = Callable[..., Result]


LINES = [
    ("spiketicket ", {"init", "find", "run"}, {"digits-binw"}),
    ("spiketicket fi", {"find"}, {"init"}),
    ("spiketicket find d", {"digits-binw", "drawn.png"}, {"find", "cifar10"}),
    ("spiketicket find --se", {"--set", "--seeds"}, {"--controls"}),
    ("spiketicket find --device c", {"cpu", "cuda"}, {"--seeds"}),
    ("spiketicket find --runs d", {"drawn.png"}, {"digits-binw"}),
    ("spiketicket find x.toml --quiet --no-r", {"--no-report"}, {"--report"}),
    ("spiketicket export my.ticket --to ", {"c", "onnx", "nir"}, {"--to", "drawn.png"}),
    ("spiketicket data ", {"check", "view"}, {"digits"}),
    ("spiketicket data check i", {"image_folder"}, {"digits", "ignored.txt"}),
    ("spiketicket zoo eval d", {"digits-binw"}, set()),
    ("spiketicket run my.ticket --time-unit ", {"ms", "us"}, {"--top"}),
    ("spiketicket run my.ticket --t", {"--top", "--tune"}, {"--plan"}),
    ("spiketicket run digits-binw d", {"drawn.png"}, set()),
    ("spiketicket completion ", {"bash", "zsh", "fish"}, set()),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two files to complete, and the scripts in one below it."""
    from command import spiketicket

    folder = tmp_path_factory.mktemp("shell")
    for name in ("drawn.png", "ignored.txt"):
        (folder / name).touch()
    (folder / "scripts").mkdir()
    for shell, name in (("bash", "bash"), ("zsh", "_spiketicket"), ("fish", "fish")):
        (folder / "scripts" / name).write_text(spiketicket("completion", shell).stdout)
    return folder


def ask(place: Path, *command: str) -> list[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=30, cwd=place
    )
    assert not done.stderr
    return done.stdout.splitlines()


def bash_offers(place: Path, line: str) -> set[str]:
    given = line.split(" ")
    code = (
        f"source scripts/bash; COMP_WORDS=({' '.join(repr(w) for w in given)});"
        f' COMP_CWORD={len(given) - 1}; _spiketicket; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    return set(ask(place, "bash", "--norc", "-c", code))


def fish_offers(place: Path, line: str) -> set[str]:
    code = f"source scripts/fish; complete -C {line!r}"
    return {text.partition("\t")[0] for text in ask(place, "fish", "--no-config", "-c", code)}


@pytest.fixture(scope="module")
def zsh_offers(place: Path) -> Iterator[Callable[[str], set[str]]]:
    """What an interactive zsh shows at Ctrl-D, which lists and inserts nothing."""
    import pty

    pid, terminal = pty.fork()
    if not pid:
        os.chdir(place)
        os.environ.update(TERM="dumb", ZDOTDIR=str(place))
        os.execvp("zsh", ["zsh", "-f", "-i"])

    def said(until: bytes) -> str:
        got, deadline = b"", time.monotonic() + 20
        while until not in got:
            assert time.monotonic() < deadline, got
            if select.select([terminal], [], [], 0.05)[0]:
                got += os.read(terminal, 65536)
        return got.decode()

    def offers(line: str) -> set[str]:
        # the last word is shown again with each of those that begin so
        os.write(terminal, line.encode() + b"\x04")
        shown = said(b"ready> " + line.encode())
        os.write(terminal, b"\x15")
        return set(shown.split()) - set(line.split())

    setup = (
        "fpath=($PWD/scripts $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=9999;"
        " stty rows 400 cols 120; unsetopt zle_bracketed_paste; PROMPT='rea''dy> '\n"
    )
    os.write(terminal, setup.encode())
    said(b"ready> ")
    yield offers
    os.close(terminal)
    os.waitpid(pid, 0)


@pytest.mark.parametrize(("line", "there", "not_there"), LINES)
def test_bash_offers(place: Path, line: str, there: set[str], not_there: set[str]) -> None:
    found = bash_offers(place, line)
    assert there <= found
    assert not not_there & found


@pytest.mark.needs("fish")
@pytest.mark.parametrize(("line", "there", "not_there"), LINES)
def test_fish_offers(place: Path, line: str, there: set[str], not_there: set[str]) -> None:
    found = fish_offers(place, line)
    assert there <= found
    assert not not_there & found


@pytest.mark.needs("zsh")
def test_zsh_offers(place: Path, zsh_offers: Callable[[str], set[str]]) -> None:
    for line, there, not_there in LINES:
        found = zsh_offers(line)
        assert there <= found, line
        assert not not_there & found, line


def test_every_option_of_the_help_is_offered(spike: Run) -> None:
    for command, found in words().items():
        if found.options:
            shown = spike(*command.split(), "--help").output
            for option in found.options:
                assert option[:20] in shown, (command, option)
