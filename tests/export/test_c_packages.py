"""The Arduino library and the Zephyr module: what their tools ask for, and that they compile."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command import spiketicket

from spiketicket import Engine
from spiketicket.export.c import Camera, export_c

pytestmark = pytest.mark.slow
EXPORT = ("export", "digits-binw", "--to")
STRICT = ["-Wall", "-Wextra", "-Werror", "-O1"]
FORMS = {
    "whole": ("digits-binw", {}),
    "frames": ("digits-binw", {"stream": True, "margin": 1.0}),
    "events": ("digits-events", {"stream": True, "camera": Camera(width=40, height=40)}),
}
SERIAL = """
#include <stdint.h>
#include <stdio.h>
struct Port {
    void begin(long) {}
    int available() { return 0; }
    int read() { return -1; }
    template <typename T> void print(T) {}
    template <typename T> void println(T) {}
};
static Port Serial;
static inline unsigned long micros() { return 0; }
static inline void delay(unsigned long) {}
"""
KERNEL = """
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#define printk printf
#define ARRAY_SIZE(a) (sizeof(a) / sizeof *(a))
static inline uint32_t k_cycle_get_32(void) { return 0; }
static inline void k_usleep(int us) { (void)us; }
"""


@pytest.fixture(params=FORMS)
def form(request):
    name, options = FORMS[request.param]
    return Engine(name).program, options


def compiled(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_arduino_library(form, tmp_path):
    program, options = form
    made = export_c(program, tmp_path / "net", "net", kind="arduino", **options)
    found = {path.relative_to(tmp_path / "net").as_posix() for path in made.files}
    assert {"library.properties", "src/net.h", "src/net.c", "keywords.txt"} <= found
    lines = (tmp_path / "net/library.properties").read_text().splitlines()
    facts = dict(line.split("=", 1) for line in lines)
    # what arduino-lint asks of libraries
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", facts["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["version"])
    for key in ("author", "maintainer", "sentence", "paragraph", "url", "architectures"):
        assert facts[key]
    assert facts["category"] == "Data Processing"
    assert (tmp_path / "net/src" / facts["includes"]).is_file()
    assert "net_run\tKEYWORD2" in (tmp_path / "net/keywords.txt").read_text()
    sketch = tmp_path / "net/examples/Classify/Classify.ino"
    (tmp_path / "Arduino.h").write_text(SERIAL)
    include = ["-I", tmp_path, "-I", tmp_path / "net/src", "-include", "Arduino.h"]
    compiled("g++", "-std=gnu++17", *STRICT, *include, "-x", "c++", "-c", sketch, "-o", "/dev/null")
    compiled("gcc", "-std=gnu11", *STRICT, "-c", tmp_path / "net/src/net.c", "-o", "/dev/null")


def test_a_zephyr_module(form, tmp_path):
    yaml = pytest.importorskip("yaml")
    program, options = form
    export_c(program, tmp_path, "net", kind="zephyr", **options)
    module = yaml.safe_load((tmp_path / "zephyr/module.yml").read_text())
    assert module == {
        "name": "net",
        "build": {"cmake": ".", "kconfig": "Kconfig"},
        "samples": ["samples"],
    }
    assert (tmp_path / "Kconfig").read_text().startswith("config NET\n\tbool ")
    assert "CONFIG_NET=y" in (tmp_path / "samples/classify/prj.conf").read_text()
    cmake = (tmp_path / "CMakeLists.txt").read_text()
    assert "if(CONFIG_NET)" in cmake
    assert all((tmp_path / path).is_file() for path in re.findall(r"\bsrc/\S+\.c", cmake))
    sample = yaml.safe_load((tmp_path / "samples/classify/sample.yaml").read_text())
    assert [*sample["tests"]] == ["sample.net.classify"]
    (tmp_path / "fake/zephyr").mkdir(parents=True)
    (tmp_path / "fake/zephyr/kernel.h").write_text(KERNEL)
    include = ["-I", tmp_path / "include", "-I", tmp_path / "fake"]
    source = tmp_path / "samples/classify/src/main.c"
    for file in (source, tmp_path / "src/net.c"):
        compiled("gcc", "-std=c11", *STRICT, *include, "-c", file, "-o", "/dev/null")
    if shutil.which("arm-none-eabi-gcc"):
        board = ["arm-none-eabi-gcc", "-mcpu=cortex-m33", "-mthumb", "-std=c11", *STRICT]
        compiled(*board, *include, "-c", tmp_path / "src/net.c", "-o", "/dev/null")


@pytest.mark.parametrize("kind", ["c", "arduino", "zephyr"])
def test_an_example_that_was_changed_is_left_alone(kind, tmp_path):
    program = Engine("digits-binw").program
    first = export_c(program, tmp_path, "net", kind=kind, stream=True)
    assert export_c(program, tmp_path, "net", kind=kind, stream=True) == first
    own = {
        "c": "main.c",
        "arduino": "examples/Classify/Classify.ino",
        "zephyr": "samples/classify/src/main.c",
    }
    (tmp_path / own[kind]).write_text("mine")
    again = export_c(program, tmp_path, "net", kind=kind, stream=True)
    assert again.kept == (tmp_path / own[kind],)
    assert (tmp_path / own[kind]).read_text() == "mine"
    left = [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert not left


def test_the_command(tmp_path):
    for to in ("c", "arduino", "zephyr"):
        result = spiketicket(
            "export", "digits-binw", "--to", to, "--stream", "-o", str(tmp_path / to)
        )
        assert result.exit_code == 0, result.stderr
    assert (tmp_path / "arduino/library.properties").is_file()
    assert (tmp_path / "zephyr/zephyr/module.yml").is_file()
    header = Path(tmp_path / "c/digits_binw.h").read_text()
    assert "DIGITS_BINW_MARGIN 3.40282347e+38f" in header
    result = spiketicket(
        "export", "digits-binw", "--to", "engine", "--stream", "-o", str(tmp_path / "e")
    )
    assert result.exit_code == 2
    assert "--stream: goes with --to c or arduino or zephyr only" in result.stderr
