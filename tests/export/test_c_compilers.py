"""The written C under compilers of C and C++ of any age: they take it, and all answer alike."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.errors import UserError
from spiketicket.export.c import ExportError, c_name, export_c
from spiketicket.export.c.names import check_name, text_literal
from spiketicket.export.c.source import number

pytestmark = pytest.mark.slow


Make = Callable[..., Any]
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]
COMPILERS = [
    (compiler, language, standard)
    for pair in (("gcc", "g++"), ("clang", "clang++"))
    for compiler, language, standards in (
        (pair[0], "c", ("c99", "c11")),
        (pair[1], "c++", ("c++11", "c++14", "c++17")),
    )
    for standard in standards
    if shutil.which(compiler)
]
HOSTILE = ['a"b\\', "c */ int d;", "x??/", "\u00e4\u4e2d", "e\x1b[31m\0\u202ef"]


def compiled(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def answers(folder: Path, program: str, images: np.ndarray) -> str:
    done = subprocess.run(
        [folder / program], input=images.tobytes(), capture_output=True, check=True
    )
    return done.stdout.decode()


@pytest.fixture(params=["normal", "none"])
def written(request: Any, trial: Make, network: Make, conv: Make) -> tuple[Any, np.ndarray]:
    """A network whose tables hold floats, bands and class names of any kind, and some images."""
    layers = (conv(channels=8, pool=True), conv(channels=8, bias=True), conv(channels=6, kernel=0))
    net = network(lut=request.param, convs=layers, head_bias=request.param == "none")
    made = trial(net.program())
    export_c(made.program, made.folder, "net", HOSTILE)
    return made, net.images(3)


def test_all_compilers_take_the_files_and_answer_alike(written: tuple[Any, np.ndarray]) -> None:
    made, images = written
    found = {}
    for compiler, language, standard in COMPILERS:
        flags = [*STRICT, f"-std={standard}", "-x", language]
        compiled(made.folder, compiler, *flags, "main.c", "net.c", "-o", standard)
        found[standard] = answers(made.folder, standard, images)
    assert len(found) >= 5
    assert len(set(found.values())) == 1
    logits, _ = made.expected(images)
    lines = found["c99"].splitlines()
    assert len(lines) == len(images) * (1 + len(HOSTILE))
    shown = ['a"b\\', "c */ int d;", "x??/", "\u00e4\u4e2d", "e\ufffd[31m\ufffd\ufffdf"]
    for i, expected in enumerate(logits):
        best, *rows = lines[6 * i : 6 * i + 6]
        values, names = zip(*(row.strip().split(" ", 1) for row in rows), strict=True)
        assert list(names) == shown
        assert best == shown[int(np.argmax(np.array(values, np.float32)))]
        np.testing.assert_allclose(np.array(values, np.float32), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("standard", ["c++11", "c++14", "c++17"])
def test_cxx_calls_what_a_c_compiler_made(
    standard: str, trial: Make, network: Make, conv: Make
) -> None:
    made = trial(network(convs=(conv(channels=4, pool=True),)).program())
    (made.folder / "use.cpp").write_text("""
        #include "net.h"
        #include <cstdio>
        int main() {
            unsigned char picture[NET_PIXELS] = {0};
            const float scale = NET_LOGIT_SCALE;
            std::printf("%d %g\\n", net_classify(picture), static_cast<double>(scale));
        }
    """)
    compiled(made.folder, "gcc", *STRICT, "-std=c99", "-c", "net.c", "-o", "net.o")
    compiled(made.folder, "g++", *STRICT, f"-std={standard}", "use.cpp", "net.o", "-o", "use")
    assert re.fullmatch(r"\d \S+\n", answers(made.folder, "use", np.zeros(0)))


def test_every_float_is_read_back_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    bits = np.concatenate([rng.integers(0, 1 << 32, 20000), [0, 1, 0x80000000, 0x7F7FFFFF]])
    values = bits.astype(np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    for value in values:
        text = number(float(value))
        assert re.fullmatch(r"-?\d(\.\d+)?(e[+-]\d+)?f|-?\d+\.\d+f", text), text
        assert np.float32(text[:-1]).tobytes() == value.tobytes()
    for value in (np.inf, -np.inf, np.nan):
        with pytest.raises(ExportError, match="not finite"):
            number(value)


def test_a_compiler_reads_the_same_floats(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 0x7F800000, 4000).astype(np.uint32)
    floats = ",\n".join(number(v) for v in values.view(np.float32).tolist())
    (tmp_path / "all.c").write_text(f"""
        #include <stdio.h>
        static const float all[] = {{{floats}}};
        int main(void) {{ return fwrite(all, 4, 4000, stdout) != 4000; }}
    """)
    for compiler, language, standard in COMPILERS[:1] + COMPILERS[2:3]:
        flags = [*STRICT, f"-std={standard}", "-x", language]
        compiled(tmp_path, compiler, *flags, "all.c", "-o", "all")
        done = subprocess.run([tmp_path / "all"], capture_output=True, check=True)
        assert np.array_equal(np.frombuffer(done.stdout, np.uint32), values)


def test_class_names_take_no_flash_where_nothing_reads_them(
    trial: Make, network: Make, conv: Make
) -> None:
    made = trial(network(convs=(conv(channels=4),)).program())
    export_c(made.program, made.folder, "net", [f"a very long class name {i}" for i in range(5)])
    for source, is_there in (("net.c", False), ("main.c", True)):
        compiled(made.folder, "gcc", "-std=c99", "-O1", "-c", source, "-o", "object")
        assert (b"a very long class name" in (made.folder / "object").read_bytes()) == is_there


@pytest.mark.parametrize(
    "name",
    [
        "class",
        "new",
        "namespace",
        "and",
        "restrict",
        "co_await",
        "Main",
        "STDIO",
        "features",
        "first",
        "int8",
        "size",
        "a__b",
        "a_",
        "_a",
        "7a",
        "\u00e4",
        "x" * 41,
        "",
    ],
)
def test_names_that_begin_no_name_of_c_or_cxx(name: str) -> None:
    with pytest.raises(ExportError, match="C name") as caught:
        check_name(name)
    assert caught.value.where == "`name`"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my digits", "my_digits"),
        ("a - b", "a_b"),
        ("class", "class_net"),
        ("7seg", "t7seg"),
        ("\u4e2d", "t"),
        ("_x_", "x"),
        ("first", "first_net"),
        ("y" * 60, "y" * 38),
    ],
)
def test_a_files_name_becomes_one(file: str, name: str) -> None:
    assert c_name(file) == name
    check_name(name)


def test_long_class_names_are_cut() -> None:
    assert text_literal("a" * 200) == '"' + "a" * 200 + '"'
    assert text_literal("a" * 10**6) == '"' + "a" * 200 + '\\342\\200\\246"'


def test_a_main_that_is_there_is_left_alone(
    trial: Make, network: Make, conv: Make, tmp_path: Path
) -> None:
    program = trial(network(convs=(conv(channels=4),)).program()).program
    first = export_c(program, tmp_path / "out", "net")
    assert [path.name for path in first.files] == ["net.h", "net.c", "main.c"]
    assert export_c(program, tmp_path / "out", "net") == first
    mine = tmp_path / "out" / "main.c"
    mine.write_text("int main(void) { return 0; }\n")
    again = export_c(program, tmp_path / "out", "net")
    assert (again.files, again.kept) == (first.files[:2], (mine,))
    assert mine.read_text() == "int main(void) { return 0; }\n"


def test_names_must_be_as_many_as_outputs(
    trial: Make, network: Make, conv: Make, tmp_path: Path
) -> None:
    program = trial(network(convs=(conv(channels=4),)).program()).program
    with pytest.raises(ExportError, match="must be 5 names"):
        export_c(program, tmp_path / "out", "net", ["a"])
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "net.h").mkdir()
    with pytest.raises(UserError, match=r"net\.h"):
        export_c(program, tmp_path / "place", "net")
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["net.h"]
    assert not (tmp_path / "out").exists()
