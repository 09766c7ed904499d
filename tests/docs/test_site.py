"""The site that `make docs` makes: every link leads somewhere, and nothing comes from elsewhere."""

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from doc_blocks import ROOT

LOADS = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("link", "href")}


class Page(HTMLParser):
    """Its anchors, its links, and what a browser loads with it."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.add(given.get("id"))
        for name in ("src", "href"):
            # a `canonical` link and its like are read, not loaded
            if given.get(name) and (tag != "link" or "stylesheet" in given.get("rel", "")):
                (self.loads if (tag, name) in LOADS else self.links).append(given[name])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("zensical")
    place = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", place / "docs")
    shutil.copy(ROOT / "zensical.toml", place)
    for name in ("results", "src", "examples", "tools"):
        (place / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, place / "tools/docs/pages.py", place / "docs"], check=True)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return place / "site"


@pytest.mark.slow
def test_the_site(site):
    pages = {path: Page(path) for path in site.glob("*.html") if path.name != "404.html"}
    assert {path.stem for path in pages} == {path.stem for path in (ROOT / "docs").glob("*.md")}
    for path, page in pages.items():
        assert page.loads, path
        for link in page.loads:
            assert not re.match(r"[a-z]*:?//", link), f"{path.name} loads {link}"
        for link in [*page.loads, *page.links]:
            if not re.match(r"[a-z]+:", link):
                file, _, anchor = unquote(link).partition("#")
                target = (path.parent / file.split("?")[0]).resolve() if file else path
                assert target.exists(), f"{path.name}: {link}"
                assert not anchor or target not in pages or anchor in pages[target].ids, link


@pytest.mark.slow
def test_the_reference_has_every_public_name(site):
    ids = {name for path in site.glob("api*.html") for name in Page(path).ids if name}
    recipe = (".recipe.section", ".recipe.sections", ".recipe.training")
    modules = ("", ".events", *recipe, ".ticket", ".ticket.zoo")
    for module in (importlib.import_module(f"spiketicket{name}") for name in modules):
        public = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
        ]
        missing = {name for name in public if f"{module.__name__}.{name}" not in ids}
        assert not missing, module.__name__


@pytest.mark.slow
def test_equations_are_drawn_and_roles_are_not(site):
    page = (site / "api-equations.html").read_text()
    assert page.count("<math") > 10
    assert "$$" not in page
    for path in site.glob("api*.html"):
        assert not re.search(r":(func|meth|class|mod):", path.read_text()), path.name


@pytest.mark.slow
def test_styles_and_scripts_load_no_fonts_from_elsewhere(site):
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert styles
    assert not [text for text in styles if re.search(r"(@import|url\()\s*['\"]?(https?:)?//", text)]
    assert tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["theme"]["font"] is False
    assert not [path for path in site.glob("*.html") if "fonts.g" in Path(path).read_text()]
