"""pack: the same ticket in the newest format, with or without its signs."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from command import Result
from places import FILES

from spiketicket.ticket import Ticket, TicketLayer, read_metadata

Run = Callable[..., Result]
OLD = FILES / "format-1-convnet.ticket"


def test_pack_writes_the_newest_format(spike: Run, tmp_path: Path) -> None:
    out = tmp_path / "new.ticket"
    result = spike("pack", str(OLD), "-o", str(out))
    assert result.exit_code == 0, result.output
    digest = read_metadata(OLD)["digest"]
    assert (read_metadata(out)["format_version"], read_metadata(out)["digest"]) == (3, digest)
    assert Ticket.load(out).digest() == digest
    assert digest in result.stdout
    assert "drawn from the seed" in result.stdout


def test_pack_leaves_signs_to_the_seed(spike: Run, tmp_path: Path) -> None:
    raw, seed = tmp_path / "raw.ticket", tmp_path / "seed.ticket"
    assert spike("pack", str(OLD), "--signs", "raw", "-o", str(raw)).exit_code == 0
    result = spike("pack", str(OLD), "--signs", "seed", "--output", str(seed))
    assert "drawn from the seed" in result.stdout
    assert Ticket.load(raw) == Ticket.load(seed)
    shown = spike("show", str(seed)).stdout
    assert "drawn from the seed" in shown
    facts = json.loads(spike("pack", str(seed), "-o", str(raw), "--json").stdout)
    assert facts["bytes_before"] == seed.stat().st_size
    assert facts["summary"]["file_bytes"] == raw.stat().st_size
    assert facts["digest"] == read_metadata(OLD)["digest"]


def test_pack_in_place(spike: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.ticket"
    path.write_bytes(OLD.read_bytes())
    assert spike("pack", str(path), "-o", str(path)).exit_code == 0
    assert read_metadata(path)["format_version"] == 3


def test_pack_names_the_layer_whose_signs_are_not_the_seeds(spike: Run, tmp_path: Path) -> None:
    ones = np.ones((20, 20), np.int8)
    layer = TicketLayer(
        name="fc", shape=(20, 20), kind="binary", mask=ones > 0, alpha=1.0, signs=ones
    )
    path, out = tmp_path / "trained.ticket", tmp_path / "out.ticket"
    Ticket((layer,), {}, {"seed": 5}).save(path)
    result = spike("pack", str(path), "--signs", "seed", "-o", str(out))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path}: fc: its signs are not those that seed 5 draws")
    assert not out.exists()


def test_pack_refuses_what_it_cannot_read_or_write(spike: Run, tmp_path: Path) -> None:
    for arguments in (
        [str(tmp_path / "none.ticket"), "-o", str(tmp_path / "o")],
        [str(OLD), "-o", str(tmp_path / "no" / "folder")],
        [str(OLD), "-o", str(tmp_path)],
    ):
        result = spike("pack", *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.output
    assert spike("pack", str(OLD)).exit_code == 2
    assert spike("pack", str(OLD), "-o", str(tmp_path / "o"), "--signs", "none").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_pack_needs_no_torch(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
from spiketicket.cli import main
sys.argv = ["spiketicket", "pack", {str(OLD)!r}, "--signs", "seed", "-o", {str(tmp_path / "o")!r}]
main()
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
    assert Ticket.load(tmp_path / "o") == Ticket.load(OLD)
