"""The engine as a library: built, installed, found and used by programs in C and C++."""

import ctypes
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command import spiketicket
from doc_blocks import blocks_of

from spiketicket import Engine, Ticket
from spiketicket.data import load_dataset, make_config
from spiketicket.engine.compile import compile_ticket
from spiketicket.engine.model_file import model_file
from spiketicket.errors import UserError
from spiketicket.ticket.zoo import find_ticket

pytestmark = [pytest.mark.slow, pytest.mark.needs("cmake")]

ROOT = Path(__file__).parents[2]
TICKET = find_ticket("digits-binw").path


def do(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=cwd, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def installed(folder: Path, *options: str) -> Path:
    """The library, built and installed."""
    prefix = folder / "prefix"
    settings = ("-DCMAKE_BUILD_TYPE=Release", "-DSPIKETICKET_LIBRARY=ON", *options)
    do("cmake", "-S", ROOT, "-B", folder / "build", f"-DCMAKE_INSTALL_PREFIX={prefix}", *settings)
    do("cmake", "--build", folder / "build", "-j2")
    do("cmake", "--install", folder / "build")
    return prefix


def examples(folder: Path, prefix: Path, *options: str) -> Path:
    """The examples, built against it from outside of the source."""
    source = shutil.copytree(ROOT / "examples/c_library", folder / "source")
    do("cmake", "-S", source, "-B", folder / "made", f"-DCMAKE_PREFIX_PATH={prefix}", *options)
    do("cmake", "--build", folder / "made")
    return folder / "made"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported ticket, and images as bytes."""
    folder = tmp_path_factory.mktemp("inputs")
    done = spiketicket("export", TICKET, "--to", "engine", "-o", folder, "--name", "digits")
    assert done.exit_code == 0
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in done.stdout
    x = load_dataset(make_config("digits")).test.x
    for index in range(8):
        (folder / f"{index}.raw").write_bytes(x[index].tobytes())
    return folder


def check(commands: Sequence[Sequence[object]], inputs: Path) -> None:
    """Whether programs say what the engine says here, to the last digit."""
    engine = Engine(TICKET)
    x = np.stack([np.fromfile(inputs / f"{i}.raw", np.uint8) for i in range(8)])
    logits = engine.run(x.reshape(8, *engine.input_shape))
    for command in commands:
        for index, row in enumerate(logits):
            words = do(*command, inputs / "digits.ste", inputs / f"{index}.raw").split()
            assert words[0] == engine.classes[row.argmax()]
            assert [np.float32(word) for word in words[1:]] == list(row)


def test_examples_of_an_installed_library(prefix: Path, inputs: Path, tmp_path: Path) -> None:
    made = examples(tmp_path, prefix)
    check([[made / "classify"], [made / "classify_static"], [made / "classify_cxx"]], inputs)


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="needs pkg-config")
def test_pkg_config(prefix: Path, inputs: Path, tmp_path: Path) -> None:
    command = ["env", f"PKG_CONFIG_PATH={prefix / 'lib/pkgconfig'}", "pkg-config"]
    flags = do(*command, "--cflags", "--libs", "spiketicket").split()
    source, made = ROOT / "examples/c_library/classify.c", tmp_path / "classify"
    do("cc", source, *flags, f"-Wl,-rpath,{prefix / 'lib'}", "-o", made)
    check([[made]], inputs)
    (block,) = (each for each in blocks_of("docs/c-library.md") if each.language == "c")
    (tmp_path / "page.c").write_text(block.text)
    do("cc", tmp_path / "page.c", *flags, f"-Wl,-rpath,{prefix / 'lib'}", "-o", tmp_path / "page")
    image = (inputs / "0.raw").read_bytes()
    done = subprocess.run(
        [tmp_path / "page"], input=image, capture_output=True, cwd=inputs, check=True
    )
    assert done.stdout == check_class(image)


def check_class(image: bytes) -> bytes:
    engine = Engine(TICKET)
    x = np.frombuffer(image, np.uint8).reshape(1, *engine.input_shape)
    return f"{engine.classes[int(engine.predict(x)[0])]}\n".encode()


def test_wrong_files_are_refused_in_a_line(prefix: Path, inputs: Path, tmp_path: Path) -> None:
    made = examples(tmp_path, prefix)
    for program in ("classify", "classify_cxx"):
        command = [made / program, TICKET, inputs / "0.raw"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "not a file of spiketicket export --to engine" in done.stderr


class Library:
    def __init__(self, path: Path) -> None:
        self._lib = ctypes.CDLL(str(path))
        self._lib.st_open_memory.restype = ctypes.c_void_p
        self._lib.st_class_name.restype = ctypes.c_char_p

    def opened(self, content: bytes) -> tuple[list[bytes], str]:
        """The names of a file's classes, or why it is refused."""
        error = ctypes.create_string_buffer(256)
        size = ctypes.c_size_t(len(content))
        model = self._lib.st_open_memory(content, size, -1, 0, error, ctypes.c_size_t(256))
        if not model:
            return [], error.value.decode()
        names = []
        while (name := self._lib.st_class_name(ctypes.c_void_p(model), len(names))) is not None:
            names.append(name)
        self._lib.st_close(ctypes.c_void_p(model))
        return names, ""


def test_hostile_files(prefix: Path) -> None:
    library = Library(prefix / "lib/libspiketicket.so")
    program = compile_ticket(Ticket.load(TICKET))
    names = [f"né{i}" for i in range(10)]
    whole = model_file(program, names)
    assert library.opened(whole) == ([name.encode() for name in names], "")
    head = struct.unpack("<4s3I", whole[:16])
    for size in (*range(64), len(whole) // 2, len(whole) - 1):
        assert library.opened(whole[:size])[1], size
    assert library.opened(whole + b"\0")[1]

    def with_head(version: int, named: int, programmed: int) -> str:
        changed = struct.pack("<4s3I", b"STE1", version, named, programmed)
        return library.opened(changed + whole[16:])[1]

    assert "later version" in with_head(2, *head[2:])
    for named, programmed in ((0xFFFFFFFF, head[3]), (head[2], 0xFFFFFFFF), (0, 0), (head[2], 16)):
        assert "cut off" in with_head(1, named, programmed)
    block = slice(16, 16 + head[2])
    for wrong in (
        whole[block].replace(b"\0", b"x", 1),  # nine names
        whole[block].replace(b"n", b"\0", 1),  # eleven
        whole[block][:-1] + b"x",  # the last is not ended
        whole[block].replace(b"n", b"\n", 1),
    ):
        content = whole[:16] + wrong + whole[16 + head[2] :]
        assert "not one a class" in library.opened(content)[1]
    draw = np.random.default_rng(0)
    for _ in range(300):  # must not crash; what loads is a program that st_load took
        changed = bytearray(whole)
        for place in draw.integers(0, 400, 3):
            changed[place] = draw.integers(256)
        library.opened(bytes(changed))


def test_names_that_c_cannot_show(prefix: Path) -> None:
    program = compile_ticket(Ticket.load(TICKET))
    names = ["a\0b", "\x1b[31m", *map(str, range(8))]
    found, _ = Library(prefix / "lib/libspiketicket.so").opened(model_file(program, names))
    assert found[:2] == [rb"a\x00b", rb"\x1b[31m"]
    with pytest.raises(UserError, match="must be 10 names"):
        model_file(program, ["a"])


@pytest.mark.needs("aarch64")
def test_on_another_processor(inputs: Path, tmp_path: Path) -> None:
    """A Raspberry Pi or a Jetson, emulated: the same logits to the last digit."""
    options = (
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc",
    )
    prefix = installed(tmp_path, *options)
    made = examples(tmp_path, prefix, *options, "-DWITH_CXX=OFF")
    machine = struct.unpack("<H", (made / "classify_static").read_bytes()[18:20])[0]
    assert machine == 183  # EM_AARCH64
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    command = [emulator, "-L", "/usr/aarch64-linux-gnu"]
    check([[*command, made / "classify"], [*command, made / "classify_static"]], inputs)
