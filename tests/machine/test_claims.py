"""Claims of folders: what a process that holds one leaves alone."""

from spiketicket.machine.claims import claimed


def test_the_name_of_another_process_survives_a_claim_of_the_whole(tmp_path):
    """It is written beside the part that is claimed, before anything of the whole is held."""
    name = tmp_path / "..claimed-by-seed-2.0123456789abcdef.tmp"
    left = tmp_path / ".recipe.toml.0123456789abcdef.tmp"
    for path in (name, left):
        path.write_text("x")
    with claimed(tmp_path, wait_s=1, deep=False):
        assert name.exists()
        assert not left.exists()
