"""Names in C and C++: the one that a user gives, and those of the classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spiketicket.errors import argument
from spiketicket.export.c.chain import ExportError

_LONGEST = 40
_LONGEST_CLASS = 200
# Two underscores in a row are reserved in C++, wherever they stand.
_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")
_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        alignas alignof and and_eq asm auto bitand bitor bool break case catch char
        char8_t char16_t char32_t class co_await co_return co_yield compl concept const
        const_cast consteval constexpr constinit continue decltype default delete do
        double dynamic_cast else enum explicit export extern false float for friend goto
        if inline int long main mutable namespace new noexcept not not_eq nullptr
        operator or or_eq private protected public register reinterpret_cast requires
        restrict return short signed sizeof static static_assert static_cast struct
        switch template this thread_local throw true try typedef typeid typename typeof
        typeof_unqual union unsigned using virtual void volatile wchar_t while xor
        xor_eq
        """,
    )
)
_HEADERS = frozenset(
    re.findall(
        r"\w+",
        """
        alloca assert complex ctype endian errno features fenv float inttypes iso646
        limits locale malloc math memory pthread sched setjmp signal stdalign stdarg
        stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string
        strings tgmath threads time uchar unistd wchar wctype
        """,
    )
)
"""With the files' folder among those searched, NAME.h would be found in place of these."""
_MACROS = re.compile(
    r"first|u?int(_least|_fast)?(8|16|32|64)|u?int(ptr|max)|ptrdiff|size|wint|sig_atomic"
    r"|[su]?char|ushrt|uint|u?llong|ulong"
)
"""NAME_WIDTH would be a macro of the C library, or of the network's own source."""


def check_name(name: str) -> None:
    """ExportError unless ``name`` can begin C and C++ names, macros too, and name files."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        what = "a name must be a C name of at most 40 characters, without two _ in a row"
    elif _taken(name):
        what = "a name must be no word of C or C++, and not a C name of its library"
    else:
        return
    raise ExportError(what, where=argument("name"), value=name, remedy="Choose another")


def c_name(text: str) -> str:
    """A name that :func:`check_name` takes, made of a file's.

    Other characters become ``_``, a letter stands first, and ``net`` behind a word of C or C++.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    plain = plain if plain[:1].isalpha() else f"t{plain}"
    plain = plain[: _LONGEST - 2].rstrip("_")
    return f"{plain}_net" if _taken(plain) else plain


def _taken(name: str) -> bool:
    # Some file systems do not tell a from A, and macros are upper case.
    lower = name.lower()
    return lower in _WORDS or lower in _HEADERS or _MACROS.fullmatch(lower) is not None


def text_literal(text: str) -> str:
    """A string literal of C and C++ in UTF-8, written in ASCII.

    What would steer a terminal is replaced by U+FFFD, and a text is cut after 200 characters.
    """
    shown = text if len(text) <= _LONGEST_CLASS else f"{text[:_LONGEST_CLASS]}\u2026"
    shown = "".join(c if c.isprintable() else "\ufffd" for c in shown)
    # A ? could be part of a trigraph. Octal escapes end after three digits, hexadecimal ones never.
    return '"' + "".join(_CHARACTERS[byte] for byte in shown.encode()) + '"'


_CHARACTERS = [
    f"\\{byte:03o}" if byte not in range(0x20, 0x7F) or chr(byte) in '"\\?' else chr(byte)
    for byte in range(256)
]


def name_array(name: str, classes: Sequence[str]) -> str:
    """The array of class names for the header.

    It is ``static const``: where nothing reads it, the compiler leaves it out.
    """
    rows = "".join(f"    {text_literal(text)},\n" for text in classes)
    size = f"{name.upper()}_CLASSES"
    return f"static const char *const {name}_class_names[{size}] = {{\n{rows}}};\n"
