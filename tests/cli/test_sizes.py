"""Wherever the size of a file is told, it is the number that ``ls -l`` prints."""

import subprocess
from collections.abc import Callable

import pytest
from command import Result

from spiketicket.machine.sizes import file_size
from spiketicket.ticket.zoo import list_tickets

Run = Callable[..., Result]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-binw", "digits-multisp"])
def test_one_number_for_one_file(spike: Run, name: str, tmp_path) -> None:
    path = next(t.path for t in list_tickets() if t.name == name)
    listed = subprocess.run(["ls", "-l", path], capture_output=True, text=True, check=True)
    told = f"{int(listed.stdout.split()[4]):,} bytes"
    assert told in " ".join(spike("show", path).stdout.split())
    assert told in spike("zoo", "list").stdout
    packed = tmp_path / "packed.ticket"
    before, after = spike("pack", path, "-o", packed).stdout, spike("show", packed).stdout
    assert f"before         {told}" in before
    assert f"{packed.stat().st_size:,} bytes" in before
    assert f"{packed.stat().st_size:,} bytes" in after


def test_words() -> None:
    assert [file_size(n) for n in (0, 1, 999, 14678)] == [
        "0 bytes",
        "1 byte",
        "999 bytes",
        "14,678 bytes",
    ]
