"""What every op of a program has: see ``ops.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from spiketicket.engine.values import DataReader, DataWriter, ProgramError, Value
from spiketicket.errors import UNSET


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """Writes register ``out``, reads registers ``inputs``."""

    code: ClassVar[int]
    arity: ClassVar[tuple[int, int]] = (1, 1)
    """Fewest and most inputs."""

    out: int
    inputs: tuple[int, ...]

    def infer(self, given: Sequence[Value], steps: int) -> Value:
        """The register it writes; ``steps`` is the program's T.

        Raises:
            ProgramError: the inputs do not fit.
        """
        raise NotImplementedError

    def words(self, data: DataWriter) -> list[int]:
        """Its parameters, word 5 first; arrays go into ``data``."""
        raise NotImplementedError

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        """The op of its words; ``given`` is its first input.

        Raises:
            ProgramError: they make no sense.
        """
        raise NotImplementedError


class Numbers(Op):
    """An op whose parameters are whole numbers from word 5 on, in the order of ``names``."""

    names: ClassVar[tuple[str, ...]] = ()

    def words(self, data: DataWriter) -> list[int]:
        return [int(getattr(self, name)) for name in self.names]

    @classmethod
    def read(
        cls, out: int, inputs: tuple[int, ...], words: list[int], data: DataReader, given: Value
    ) -> Self:
        numbers = dict(zip(cls.names, words, strict=False))
        return cls(out=out, inputs=inputs, **numbers)


def common_steps(given: Sequence[Value]) -> int:
    """S of registers of which those with one step are repeated."""
    steps = {v.steps for v in given} - {1}
    refuse(len(steps) > 1, "the inputs have different numbers of steps", sorted(steps))
    return max(steps, default=1)


def divides(part: int, whole: int) -> bool:
    """Whether ``whole`` is at least one time ``part``, without a rest."""
    return 1 <= part <= whole and whole % part == 0


def refuse(wrong: bool, what: str, value: object = UNSET) -> None:
    """Raise a ProgramError where ``wrong``."""
    if wrong:
        raise ProgramError(what, value=value)
