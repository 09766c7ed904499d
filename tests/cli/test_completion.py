"""Tab in a shell: a real bash is asked what it offers; the words are those of the commands."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result

from spiketicket.cli.completion import words

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from command import spiketicket

    path = tmp_path_factory.mktemp("shell") / "spiketicket.bash"
    path.write_text(spiketicket("completion", "bash").stdout)
    return path


def offered(script: Path, line: str) -> set[str]:
    """What bash offers for the last word of a line."""
    given = line.split(" ")
    code = (
        f'source "{script}"; COMP_WORDS=({" ".join(repr(w) for w in given)});'
        f' COMP_CWORD={len(given) - 1}; _spiketicket; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert not done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "there", "not_there"),
    [
        ("spiketicket ", {"init", "find", "run", "--help"}, {"digits-binw"}),
        ("spiketicket fi", {"find"}, {"init"}),
        ("spiketicket find ", {"digits-binw", "--seeds"}, {"find", "--to"}),
        ("spiketicket find --se", {"--set", "--seeds"}, {"--controls"}),
        ("spiketicket find --device ", {"cpu", "cuda"}, {"--seeds"}),
        ("spiketicket find x.toml --quiet --no-r", {"--no-report"}, {"--report"}),
        ("spiketicket export my.ticket --to ", {"c", "onnx", "nir"}, {"--to"}),
        ("spiketicket data ", {"check", "view"}, {"digits"}),
        ("spiketicket data check ima", {"image_folder"}, {"digits"}),
        ("spiketicket zoo eval ", {"digits-binw"}, set()),
        ("spiketicket run my.ticket --time-unit ", {"ms", "us"}, {"--top"}),
        ("spiketicket run my.ticket --t", {"--top", "--tune"}, {"--plan"}),
        ("spiketicket completion ", {"bash", "zsh", "fish"}, set()),
    ],
)
def test_bash_offers(script: Path, line: str, there: set[str], not_there: set[str]) -> None:
    found = offered(script, line)
    assert there <= found
    assert not not_there & found


def test_after_an_option_that_takes_a_file_bash_looks_for_files(script: Path) -> None:
    assert offered(script, "spiketicket find --runs ") == set()
    assert "-o default" in script.read_text()


def test_every_option_of_the_help_is_offered(spike: Run) -> None:
    for command, found in words().items():
        if found.options:
            shown = spike(*command.split(), "--help").output
            for option in found.options:
                assert option[:20] in shown, (command, option)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_their_script(spike: Run, tmp_path: Path, shell: str) -> None:
    made = spike("completion", shell)
    assert made.exit_code == 0
    for word in ("find", "digits-binw", "image_folder"):
        assert word in made.stdout
    if shutil.which(shell):
        path = tmp_path / "script"
        path.write_text(made.stdout)
        subprocess.run([shell, "-n", str(path)], check=True, timeout=30)
