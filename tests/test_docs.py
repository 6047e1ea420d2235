"""The documentation: links, measured numbers, and the site that is built from it."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)[^)]*\)")
MEASURED = re.compile(r"-?\d+\.\d+ \[-?\d+\.\d+, -?\d+\.\d+\]")
"""A number with its confidence interval."""
ELSEWHERE = re.compile(r"https?://|^//")
LOADED = {("img", "srcset"), ("link", "href"), ("object", "data"), ("video", "poster")}
"""Attributes, besides `src`, by which a page loads something; links that are followed are others."""
DORMANT = {
    "api.github.com": "counts stars where the site names a repository",
    "unpkg.com": "Mermaid where a page has a diagram; ResizeObserver for browsers before 2020",
    "bit.ly": "a comment",
    "clipboardjs.com": "a comment",
    "lunrjs.com": "a comment",
    "tartarus.org": "a comment",
}
"""Hosts that the theme's scripts name, and when they would be asked: never here."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    links = LINK.findall(text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_numbers_with_intervals_stand_where_they_were_measured() -> None:
    sources = ("README.md", "benchmarks/README.md", "saved_models/bone_age/README.md")
    known = {
        number
        for source in sources
        for number in MEASURED.findall((ROOT / source).read_text(encoding="utf-8"))
    }
    shown = [(page.name, number) for page in PAGES[1:] for number in _measured(page)]
    assert len(shown) > 3
    assert [(page, number) for page, number in shown if number not in known] == []


def _measured(page: Path) -> list[str]:
    return MEASURED.findall(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    for name in ("mkdocs", "material", "mkdocstrings_handlers"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'bone-age-tf[docs]'")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_navigation_is_in_the_site(site: Path) -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = list(_leaves(settings["nav"]))
    assert len(pages) > 15
    assert [page for page in pages if not (site / page).with_suffix(".html").exists()] == []


def _leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for entry in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        yield from _leaves(entry)


def test_functions_settings_and_helps_are_in_the_site(site: Path) -> None:
    api = (site / "api.html").read_text(encoding="utf-8")
    for words in (
        "Evaluate a run folder or an exported model",
        "Times that every training radiograph",
    ):
        assert words in api
    assert "Usage: bone-age-tf predict" in (site / "commands.html").read_text(encoding="utf-8")


def test_files_outside_docs_come_along(site: Path) -> None:
    readme = (site / "repository/index.html").read_text(encoding="utf-8")
    assert 'href="benchmarks/index.html"' in readme
    assert 'src="../images/registered.jpg"' in readme
    assert (site / "images/registered.jpg").exists()
    assert "ReadWriteMany" in (
        site / "repository/deploy/kubernetes/train-workers.yaml.html"
    ).read_text(encoding="utf-8")


class _Loads(HTMLParser):
    """What a page loads, and what its scripts and styles say."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.has_dormant = False
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for name, value in attrs:
            if name == "src" or (tag, name) in LOADED:
                self.addresses.append(value or "")
            if name == "style":
                self.inline.append(value or "")
        values = dict(attrs)
        is_diagram = "mermaid" in (values.get("class") or "").split()
        self.has_dormant |= is_diagram or values.get("data-md-component") == "source"

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.inline.append(data)


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loads = _Loads(page.read_text(encoding="utf-8"))
        assert any(address.endswith(".js") for address in loads.addresses), page
        assert [one for one in loads.addresses + loads.inline if ELSEWHERE.search(one)] == [], page
        assert not loads.has_dormant, page


def test_styles_load_nothing_from_elsewhere(site: Path) -> None:
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        text = style.read_text(encoding="utf-8")
        assert re.findall(r"url\(\s*[\"']?(?:https?:)?//[^)]*|@import[^;]*", text) == [], style


def test_scripts_name_no_hosts_that_they_would_ask(site: Path) -> None:
    scripts = [path for path in site.rglob("*.js") if "lunr" not in path.parts]  # other languages
    assert scripts
    for script in scripts:
        hosts = re.findall(r"https?://([\w.-]+)", script.read_text(encoding="utf-8"))
        assert set(hosts) <= DORMANT.keys(), script
