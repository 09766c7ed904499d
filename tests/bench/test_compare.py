"""Peers in their processes: what is told of them, and of those that cannot or must not run."""

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Result, spiketicket

from spiketicket.bench import compare as comparing
from spiketicket.bench.agreement import compared
from spiketicket.bench.compare import Plan, compare, failures, usable_cores
from spiketicket.bench.figure import figure
from spiketicket.bench.job import Job
from spiketicket.bench.peers import PEERS, chosen, missing
from spiketicket.bench.process import NotReadyError, PeerError, PeerProcess
from spiketicket.bench.samples import Checked
from spiketicket.bench.worker import _Server
from spiketicket.engine import library
from spiketicket.errors import UserError
from spiketicket.machine import processor
from spiketicket.ticket import Ticket, TicketError

pytestmark = pytest.mark.slow


HAS_ORT = not missing(PEERS["onnxruntime-fp32"])
needs_ort = pytest.mark.skipif(not HAS_ORT, reason="onnx and onnxruntime are not installed")
SHORT = {"rounds": 2, "turn_s": 0.01, "images": 8}


def bench(*arguments: str) -> Result:
    return spiketicket("bench", *arguments)


def test_peers_are_checked_timed_and_told(tiny: Path, tmp_path: Path) -> None:
    wanted = ["torch-fp32", "onnxruntime-fp32", "onnxruntime-int8", "openvino-fp32"]
    peers = tuple(name for name in wanted if not missing(PEERS[name]))
    if library.available():
        peers = ("engine-generic", *peers)
    said: list[str] = []
    plan = Plan(batches=(2,), peers=peers, **SHORT)
    result = json.loads(json.dumps(compare(tiny, plan, say=said.append)))
    (group,) = result["groups"]
    assert (group["batch"], group["threads"]) == (2, 1)
    assert [row["peer"] for row in group["rows"]] == list(peers)
    for row in group["rows"]:
        assert row["status"] == "measured", row["reason"]
        assert row["cores"] == [usable_cores()[0]]
        assert len(row["rounds_ms"]) == 2 <= row["calls"]
        assert 0 < row["q25"] <= row["ms_per_image"] <= row["q75"]
        agreement = row["agreement"]
        assert agreement["images"] == 8
        if row["arithmetic"] == "reduced":
            assert agreement["correlation"] > 0.5
        else:
            assert agreement["equal"] == agreement["same_class"] == 1
        of_torch = row["times_faster_than"]["torch-fp32"]
        assert of_torch == 1 if row["peer"] == "torch-fp32" else of_torch > 0
    assert result["ticket"]["digest"] == Ticket.load(tiny).digest()
    assert result["machine"]["versions"]["torch"]
    assert not failures(result)
    assert f"  {peers[0]}: ready" in said
    drawn = figure([result])
    assert sorted(row[1] for row in drawn.rows) == sorted(peers)
    assert "PyTorch float32" in drawn.file


@needs_ort
def test_a_peer_with_other_logits_is_not_timed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = comparing.load_samples

    def other(*arguments: object, **options: object) -> Checked:
        checked = honest(*arguments, **options)  # type: ignore[arg-type]
        return dataclasses.replace(checked, logits=np.roll(checked.logits, 1, axis=0))

    monkeypatch.setattr(comparing, "load_samples", other)
    out = tmp_path / "made" / "out.json"
    short = ("--batch", "2", "--images", "8", "--rounds", "1", "--peers", "onnxruntime-fp32")
    result = bench(str(tiny), *short, "-o", str(out), "--svg", str(tmp_path / "out.svg"))
    assert result.exit_code == 1
    (row,) = json.loads(out.read_text())["groups"][0]["rows"]
    assert row["status"] == "disagrees"
    assert "ms_per_image" not in row
    assert row["agreement"]["equal"] < 0.5
    assert "onnxruntime-fp32: disagrees" in result.stdout
    assert (tmp_path / "out.svg").read_text().startswith("<svg")


def test_a_package_that_is_missing_is_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name)
    )
    result = bench(str(tiny), "--batch", "1", "--images", "2", "--peers", "openvino-int8")
    assert result.exit_code == 0
    assert "openvino-int8: missing: needs openvino" in result.stdout
    assert "pip install 'spiketicket[bench]'" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--peers", "openvinno-fp32"), "Did you mean openvino-fp32?"),
        (("--batch", "1,x"), "--batch: must be numbers"),
        (("--batch", "0"), "--batch: must be numbers"),
        (("--threads", "4096"), "--threads: this process may use"),
    ],
)
def test_bad_options_say_what_to_do(tiny: Path, arguments: tuple[str, ...], told: str) -> None:
    result = bench(str(tiny), *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_tickets_that_cannot_be_compared(tiny: Path, tmp_path: Path) -> None:
    whole = Ticket.load(tiny)
    own = tmp_path / "own.ticket"
    Ticket(whole.layers, whole.tensors, {"network": {"name": "MyNet"}}).save(own)
    result = bench(str(own))
    assert result.exit_code == 2
    assert f"{own}: does not name a network of this package" in result.stderr
    damaged = tmp_path / "damaged.ticket"
    damaged.write_bytes(tiny.read_bytes()[:-9])
    with pytest.raises(TicketError):
        compare(damaged, Plan())
    with pytest.raises(UserError, match="at least 1"):
        Plan(rounds=0)


@pytest.fixture
def job(tiny: Path, tmp_path: Path) -> Job:
    np.save(tmp_path / "images.npy", np.ones((4, 1, 8, 8), np.float32))
    return Job(
        ticket=str(tiny),
        peer="onnxruntime-fp32",
        batch=2,
        threads=1,
        cpus=usable_cores()[:1],
        inputs=str(tmp_path / "images.npy"),
        calibration=str(tmp_path / "images.npy"),
        folder=str(tmp_path),
    )


@needs_ort
def test_a_process_that_fails_leaves_its_last_words(job: Job) -> None:
    wrong = dataclasses.replace(job, inputs=f"{job.inputs}.gone")
    with pytest.raises(PeerError, match=r"FileNotFoundError.*npy\.gone"):
        PeerProcess(wrong, 60)


def test_a_process_that_is_late_is_ended(job: Job) -> None:
    with pytest.raises(NotReadyError, match=r"not ready after 0\.01 s"):
        PeerProcess(job, 0.01)


@pytest.mark.skipif(not library.available(), reason="no C library was built")
def test_engine_threads_without_an_image_of_their_own_work_together(job: Job) -> None:
    from spiketicket.bench.peers import engine

    job = dataclasses.replace(job, peer="engine-generic", threads=2)
    modes = [dataclasses.replace(job, batch=batch) for batch in (1, 2)]
    settings = [engine.prepare(each).settings["mode"] for each in modes]
    assert settings == ["latency", "throughput"]


def test_a_turn_goes_through_the_images_in_order(job: Job) -> None:
    from spiketicket.bench.job import Prepared

    seen: list[float] = []

    def run(x: np.ndarray) -> np.ndarray:
        assert len(x) == job.batch
        seen.append(float(x[0, 0, 0, 0]))
        return x[:, 0, 0]

    np.save(job.inputs, np.arange(7, dtype=np.float32).reshape(7, 1, 1, 1))
    server = _Server(Prepared(run, {}), job)
    assert server.logits().ravel().tolist() == [0, 1, 2, 3, 4, 5]
    seen.clear()
    calls = server.turn(0.0)
    assert len(calls) >= 1
    assert seen == [(2.0 * i) % 6 for i in range(len(seen))]


def test_agreement_tells_rounding_from_another_net() -> None:
    logits = np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32)
    logits += np.arange(10, dtype=np.float32)
    rounded = logits + np.float32(1e-6)
    flipped = logits.copy()
    flipped[:15] += np.random.default_rng(1).normal(size=(15, 10)).astype(np.float32) / 4
    noisy = logits + np.random.default_rng(2).normal(size=logits.shape).astype(np.float32) / 2
    shuffled = np.roll(logits, 1, axis=0)
    # Every image's logits the same: the classes' means alone say nothing.
    biased = np.broadcast_to(logits.mean(0), logits.shape).astype(np.float32)
    passed: dict[str, Callable[[str], bool]] = {
        name: compared(found, logits).passes
        for name, found in {
            "same": logits,
            "rounded": rounded,
            "flipped": flipped,
            "noisy": noisy,
            "shuffled": shuffled,
            "biased": biased,
            "short": logits[:, :9],
            "nan": np.where(logits > 9, np.nan, logits).astype(np.float32),
        }.items()
    }
    assert {name for name, passes in passed.items() if passes("exact")} == {"same", "rounded"}
    float32 = {"same", "rounded", "flipped"}
    assert {name for name, passes in passed.items() if passes("float32")} == float32
    assert {name for name, passes in passed.items() if passes("reduced")} == float32 | {"noisy"}


def test_names_of_peers() -> None:
    assert [peer.name for peer in chosen(())] == list(PEERS)
    several = [peer.name for peer in chosen(("torch-fp32", "engine"))]
    assert several == ["engine-avx512", "engine-avx2", "engine-generic", "torch-fp32"]


@needs_ort
def test_weights_have_seven_bits_where_pairs_of_products_overflow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spiketicket.bench.peers._ort import has_dot_products

    monkeypatch.setattr(processor, "features", lambda: "sse4_2 avx2 fma")
    assert not has_dot_products()
    monkeypatch.setattr(processor, "features", lambda: "avx2 avx512_vnni")
    assert has_dot_products()


@pytest.mark.slow
def test_fewer_images_than_asked_for_are_all_there_are() -> None:
    from spiketicket.bench.compare import _filled
    from spiketicket.bench.samples import load_samples
    from spiketicket.ticket.zoo import find_ticket

    path = find_ticket("digits-binw").path
    found = load_samples(Ticket.load(path), path, count=1000)
    assert len(found.images) == len(found.logits) == 360
    whole = _filled(found.images, 1000)
    assert len(whole) == 1000
    assert (whole[360:720] == found.images).all()
