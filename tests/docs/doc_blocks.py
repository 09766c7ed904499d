"""The fenced blocks of README.md and docs/, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
SHELL = ("sh", "bash", "console")
_FENCED = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```[ \t]*$", re.MULTILINE | re.DOTALL)
_SUBSTITUTION = re.compile(r"\$\((spiketicket [^()]*)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its fence, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        """Its first line, which names it in lists of exceptions: line numbers change."""
        return self.text.splitlines()[0] if self.text else ""


@dataclass(frozen=True)
class Command:
    """A command of a shell block: the line as it stands, comments aside, and its words."""

    block: Block
    text: str
    words: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.block.page}: {self.text}"

    @property
    def arguments(self) -> tuple[str, ...] | None:
        """What follows ``spiketicket``, alone or behind torchrun; None in another command."""
        if self.words[0] not in ("spiketicket", "torchrun") or "spiketicket" not in self.words:
            return None
        rest = self.words[self.words.index("spiketicket") + 1 :]
        return rest[:-1] if rest[-1:] == ("&",) else rest


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks of a page, by its path below the root."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2].strip(), found[3])
        for found in _FENCED.finditer(text)
    ]


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of every page; of these languages, or of all where none is given."""
    found = [block for page in PAGES for block in blocks_of(page)]
    return [block for block in found if not languages or block.language in languages]


def script_of(block: Block) -> str:
    """The block as a shell script: of a console, what follows a prompt."""
    if block.language != "console":
        return block.text
    return "".join(f"{line[2:]}\n" for line in block.text.splitlines() if line.startswith("$ "))


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a shell block, one a line; lines that go on are put together."""
    for line in script_of(block).replace("\\\n", " ").splitlines():
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if text:
            yield _command(block, text)
            for found in _SUBSTITUTION.finditer(text):
                yield _command(block, found[1])


def _command(block: Block, text: str) -> Command:
    words = shlex.split(_SUBSTITUTION.sub("SUBSTITUTED.ticket", text))
    return Command(block, re.sub(r"\s+", " ", text), tuple(words))


def all_commands() -> list[Command]:
    """The commands of all shell blocks."""
    return [command for block in all_blocks(*SHELL) for command in commands_of(block)]


def spans_of(page: str) -> list[str]:
    """The commands of this package that stand in a page's text, between backticks."""
    text = _FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`(spiketicket [^`]+)`", text)]


def expanded(text: str, folder: Path, run: Callable[[tuple[str, ...]], str]) -> tuple[str, ...]:
    """The words of a command as a shell in ``folder`` gives them to it.

    File patterns are replaced by files, ``$(spiketicket ...)`` by what ``run`` returns for it.
    """
    text = _SUBSTITUTION.sub(lambda m: shlex.quote(run(tuple(shlex.split(m[1])[1:])).strip()), text)
    words: list[str] = []
    for word in shlex.split(text):
        files = sorted(folder.glob(word)) if "*" in word and not Path(word).is_absolute() else []
        # as a shell does: a name that begins with a dot is no match
        files = [f for f in files if not any(p[0] == "." for p in f.relative_to(folder).parts)]
        words += [str(path.relative_to(folder)) for path in files] or [word]
    return tuple(words)


def key_of(arguments: tuple[str, ...], groups: Mapping[str, Any]) -> str:
    """What names a command in a list: ``find``, or ``zoo list`` of a group."""
    name = arguments[0] if arguments else ""
    return " ".join(arguments[:2]) if name in groups else name


def as_pattern(text: str) -> str:
    """A pattern for a text in which ``...`` stands for anything."""
    return ".*".join(map(re.escape, text.strip().split("...")))
