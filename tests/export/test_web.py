"""Tickets as pages: what is in them, and in a browser the engine's own answers, to the bit."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import TOO_WIDE, open_chromium, requests_of, show

from spiketicket.engine import Engine
from spiketicket.errors import UserError
from spiketicket.events import Events, read_events
from spiketicket.events.frames import PlainFraming, to_frames
from spiketicket.export.web import export_web
from spiketicket.ticket import Ticket

ROOT = Path(__file__).parents[2]
WASM = ROOT / "src/spiketicket/export/web/engine.wasm"
MADE_BY = b"clang version 14.0.6"
HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>&amp;"

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5-byte events of a 34x34 sensor, more than 255 of them at one pixel in a time step."""
    rng = np.random.default_rng(3)
    n = 4000
    t = np.sort(rng.integers(0, 300_000, n))
    x, y, p = (rng.integers(0, most, n) for most in (34, 34, 2))
    x[:600], y[:600], p[:600] = 5, 7, 1
    content = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1).astype(np.uint8)
    path = tmp_path_factory.mktemp("recording") / "some.bin"
    path.write_bytes(content.tobytes())
    return path


def hostile(name: str) -> Ticket:
    ticket = Ticket.load(name)
    ticket.metadata["classes"] = [f"{HOSTILE}{i}" for i in range(10)]
    return ticket


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, recording: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {
        "digits": export_web(Ticket.load("digits-binw"), folder / "digits", "digits").path,
        "multisp": export_web(Ticket.load("digits-multisp"), folder / "multisp", "m").path,
        "nmnist": export_web(
            Ticket.load("nmnist1k-vgg"), folder / "nmnist", "N-MNIST", recording
        ).path,
        "hostile": export_web(hostile("digits-binw"), folder / "hostile", HOSTILE).path,
    }


def model_of(page: Path) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="model">(.*?)</script>', page.read_text()
    )
    assert found
    model: dict[str, Any] = json.loads(found[1])
    return model


def test_a_page_has_the_program_and_the_engine_and_allows_nothing_else(
    pages: dict[str, Path],
) -> None:
    model, text = model_of(pages["digits"]), pages["digits"].read_text()
    engine = Engine("digits-binw")
    assert base64.b64decode(model["program"]) == engine.program.to_bytes()
    assert base64.b64decode(model["engine"]) == WASM.read_bytes()
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)
    kept = [op.signs for op in engine.program.ops if getattr(op, "signs", None) is not None]
    floats = [op.weight for op in engine.program.ops if getattr(op, "weight", None) is not None]
    assert model["weights"] == sum(w.size for w in kept + floats)
    assert model["zeros"] == sum(int((w == 0).sum()) for w in kept + floats)


def test_words_of_a_ticket_are_never_markup(pages: dict[str, Path]) -> None:
    text = pages["hostile"].read_text()
    assert "window.owned" in text
    assert "<img" not in text
    assert text.count("<script") == 2
    assert model_of(pages["hostile"])["classes"][3] == f"{HOSTILE}3"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("nmnist1k-vgg", {"denoise_us": 500}, "denoise_us"),
        ("nmnist1k-vgg", {"window_us": 500}, "window_us"),
        ("nmnist1k-vgg", {"steps": 3}, "recordings become frames"),
        ("digits-events", {"by": "rows"}, "recordings become frames"),
    ],
)
def test_what_a_page_cannot_do_is_refused(
    name: str, change: dict[str, object], words: str, tmp_path: Path
) -> None:
    ticket = Ticket.load(name)
    ticket.metadata["data"]["config"] |= change
    with pytest.raises(UserError, match=words):
        export_web(ticket, tmp_path / "page", "name")
    assert not (tmp_path / "page").exists()


@pytest.mark.slow
@pytest.mark.needs("wasm")
def test_the_engine_of_the_package_is_that_of_the_sources(tmp_path: Path) -> None:
    subprocess.run([ROOT / "csrc/web/build.sh", tmp_path / "engine.wasm"], check=True)
    clang = shutil.which("clang")
    assert clang
    if not subprocess.check_output([clang, "--version"]).count(MADE_BY):
        pytest.skip("another version of clang makes other bytes")
    assert (tmp_path / "engine.wasm").read_bytes() == WASM.read_bytes()
    assert WASM.stat().st_size < 150_000


# ---- in Chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_chromium(tmp_path_factory.mktemp("chromium")) as driver:
        driver.set_script_timeout(60)
        yield driver


RUN = """
const counts = Uint16Array.from(arguments[0]), size = counts.length / arguments[1], out = [];
for (let i = 0; i < arguments[1]; i++) {
  out.push(...new Uint32Array(spiketicket.run(counts.subarray(i * size, (i + 1) * size)).buffer));
}
return out;
"""
WAIT = """
const done = arguments[0];
const look = () => window.spiketicket ? done(true) : setTimeout(look, 10);
look();
"""
OPEN = """
const [name, bytes, done] = arguments;
const file = new File([Uint8Array.from(bytes)], name);
spiketicket.open(file).then(() => done(document.getElementById("trouble").textContent));
"""

in_browser = [pytest.mark.slow, pytest.mark.needs("browser")]


def ready(browser: Any, page: Path, width: int = 1100, scheme: str = "light") -> None:
    show(browser, page, width, scheme)
    assert browser.execute_async_script(WAIT)


def text(browser: Any, element: str) -> str:
    return str(browser.execute_script(f"return document.getElementById('{element}').textContent"))


def bits(logits: np.ndarray[Any, Any]) -> list[int]:
    return [int(v) for v in np.ascontiguousarray(logits, np.float32).view(np.uint32).ravel()]


class TestInChromium:
    pytestmark = in_browser

    @pytest.mark.parametrize(
        ("page", "name", "count", "most"),
        [
            ("digits", "digits-binw", 100, 256),
            ("nmnist", "nmnist1k-vgg", 100, 4),
            ("nmnist", "nmnist1k-vgg", 3, 900),
            ("multisp", "digits-multisp", 5, 256),
        ],
    )
    def test_logits_are_the_engines_to_the_bit(
        self, browser: Any, pages: dict[str, Path], page: str, name: str, count: int, most: int
    ) -> None:
        engine = Engine(name)
        kind = np.uint8 if engine.program.frames == 1 else np.uint16
        x = np.random.default_rng(1).integers(0, most, (count, *engine.input_shape)).astype(kind)
        if most == 4:
            x *= x > 2
        ready(browser, pages[page])
        found = browser.execute_script(RUN, x.ravel().tolist(), count)
        assert found == bits(engine.run(x))
        assert len(set(found)) > 10

    def test_real_digits_are_classified_alike(self, browser: Any, pages: dict[str, Path]) -> None:
        from spiketicket.data import load_dataset, make_config

        engine = Engine("digits-binw")
        x = load_dataset(make_config("digits", size=8)).test.x[:100]
        ready(browser, pages["digits"])
        assert browser.execute_script(RUN, x.ravel().tolist(), 100) == bits(engine.run(x))

    def test_a_recording_gives_the_frames_and_the_answer_of_the_program(
        self, browser: Any, pages: dict[str, Path], recording: Path
    ) -> None:
        found = Engine("nmnist1k-vgg").classify(recording)
        ready(browser, pages["nmnist"])
        best, name = found.name, text(browser, "answer")  # of the sample, which is that file
        assert name == best
        assert "4,000 events of 34x34" in text(browser, "source")
        assert browser.execute_async_script(OPEN, "b.bin", list(recording.read_bytes())) == ""
        assert text(browser, "answer") == best

    @pytest.mark.parametrize(
        "framing",
        [
            PlainFraming(steps=4, height=32, width=32),
            PlainFraming(steps=7, by="count", values="binary", merge_polarity=True),
            PlainFraming(steps=5, height=9, width=30, merge_polarity=True),
        ],
    )
    def test_frames_are_those_of_the_package(
        self, browser: Any, pages: dict[str, Path], recording: Path, framing: PlainFraming
    ) -> None:
        events: Events = read_events(recording, sensor=(34, 34))
        wanted = to_frames(events, framing)
        _, channels, height, width = wanted.shape
        how = {
            "steps": framing.steps,
            "channels": channels,
            "height": height,
            "width": width,
            "height_given": True,
            "by": framing.by,
            "values": framing.values,
        }
        ready(browser, pages["nmnist"])
        script = """
        const e = recordings.read("a.bin", Uint8Array.from(arguments[0]), [34, 34]);
        return [...recordings.frames(e, arguments[1], e.t.length)];
        """
        found = browser.execute_script(script, list(recording.read_bytes()), how)
        assert found == wanted.ravel().tolist()

    def test_files_of_other_formats_and_broken_ones(
        self, browser: Any, pages: dict[str, Path]
    ) -> None:
        ready(browser, pages["nmnist"])
        t = np.arange(500, dtype="<u4") * 100
        x, y, p = t // 100 % 34, t // 300 % 34, t // 200 % 2
        records = np.stack([t, x | y << 14 | p << 28], axis=1).astype("<u4").tobytes()
        dat = b"% Data file\n% Width 34\n% Height 34\n\x0c\x08" + records
        words = np.stack([8 << 28 | t >> 6, p << 28 | (t & 63) << 22 | x << 11 | y], axis=1)
        raw = b"% evt 2.0\n% geometry 34x34\n% end\n" + words.astype("<u4").tobytes()
        for name, content in (("a.dat", dat), ("a.raw", raw)):
            assert browser.execute_async_script(OPEN, name, list(content)) == ""
            assert "500 events of 34x34" in text(browser, "source")
        for name, content, words_ in (
            ("a.raw", b"% evt 3.0\n% end\n" + bytes(64), "no RAW file of EVT2"),
            ("a.dat", b"% x", "header does not end"),
            ("a.bin", b"", "no event"),
            ("a.npz", b"PK", "this page reads"),
            ("a.dat", b"% Width 4\n% Height 4\n\x0c\x08" + records[:32], "its sensor is 4x4"),
        ):
            assert words_ in browser.execute_async_script(OPEN, name, list(content))

    def test_a_picture_of_the_right_size_keeps_its_pixels(
        self, browser: Any, pages: dict[str, Path], tmp_path: Path
    ) -> None:
        from PIL import Image

        pixels = np.random.default_rng(5).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        engine = Engine("digits-binw")
        ready(browser, pages["digits"])
        content = list((tmp_path / "a.png").read_bytes())
        assert browser.execute_async_script(OPEN, "a.png", content) == ""
        assert text(browser, "answer") == engine.classify(tmp_path / "a.png").name
        grey = np.asarray(Image.fromarray(pixels).convert("L"))
        logit = f"{engine.run(grey[None, None])[0, 3]:.3f}"
        cell = "return document.querySelectorAll('#classes tbody td')[6].textContent"
        assert browser.execute_script(cell) == logit
        assert browser.execute_async_script(OPEN, "b.png", [1, 2]).startswith("b.png cannot")

    def test_one_can_draw_by_pointer_and_by_keys(
        self, browser: Any, pages: dict[str, Path]
    ) -> None:
        from selenium.webdriver import ActionChains, Keys
        from selenium.webdriver.common.by import By

        ready(browser, pages["digits"])
        field = browser.find_element(By.ID, "field")
        drag = ActionChains(browser).move_to_element_with_offset(field, 0, -110).click_and_hold()
        drag.move_by_offset(0, 220).release().perform()
        browser.execute_async_script("setTimeout(arguments[0], 100)")
        assert text(browser, "answer") == "1"
        browser.execute_script("document.getElementById('clear').click(); field.focus()")
        before = text(browser, "facts")
        ActionChains(browser).send_keys(*[Keys.ARROW_DOWN] * 10).perform()
        browser.execute_async_script("setTimeout(arguments[0], 100)")
        assert text(browser, "facts") != before
        assert "Pen down at 160, 240" in text(browser, "source")

    def test_operations_are_counted_as_a_convolution_counts_them(
        self, browser: Any, pages: dict[str, Path]
    ) -> None:
        import torch

        from spiketicket.engine import reference
        from spiketicket.engine.layer_ops import Synapse
        from spiketicket.engine.program import Kind

        engine = Engine("digits-binw")
        program = engine.program
        x = np.zeros((1, 1, 8, 8), np.uint8)
        values = reference.trace(program, x[:, None], range(1, len(program.values)))
        adds = 0.0
        for op in program.ops:
            if not isinstance(op, Synapse) or program.values[op.inputs[0]].kind is Kind.F32:
                continue
            value = values[op.inputs[0]].reshape(-1, *program.values[op.inputs[0]].shape[1:])
            value = value.reshape(len(value), -1, 1, 1) if op.flatten else value
            weight = op.signs if op.signs is not None else op.weight
            kept = torch.from_numpy((np.asarray(weight) != 0).astype(np.float64))
            adds += float(
                torch.conv2d(
                    torch.from_numpy(value).double(), kept, stride=op.stride, padding=op.pad
                ).sum()
            )
        ready(browser, pages["digits"])
        assert f"{round(adds):,} additions of spikes" in text(browser, "facts")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [400, 1400])
    @pytest.mark.parametrize("page", ["nmnist", "hostile"])
    def test_pages_fit_ask_for_nothing_and_run_nothing_of_the_ticket(
        self, browser: Any, pages: dict[str, Path], page: str, width: int, scheme: str
    ) -> None:
        for log in ("performance", "browser"):
            browser.get_log(log)
        ready(browser, pages[page], width, scheme)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(TOO_WIDE) == []
        assert browser.get_log("browser") == []
        assert requests_of(browser) == []
        assert text(browser, "trouble") == ""
        assert browser.execute_script("return window.owned") is None
        if page == "hostile":
            assert text(browser, "title") == HOSTILE
            assert HOSTILE in text(browser, "answer")
        levels = browser.execute_script(
            "return [...document.querySelectorAll('h1, h2')].map((e) => Number(e.tagName[1]))"
        )
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        unnamed = """return [...document.querySelectorAll("button, input, canvas, [role=region]")]
          .filter((e) => !e.getAttribute("aria-label") && !e.textContent.trim())
          .filter((e) => !e.labels?.length)
          .map((e) => e.outerHTML.slice(0, 80))"""
        assert browser.execute_script(unnamed) == []
