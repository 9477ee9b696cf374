"""The documents: links lead somewhere, commands and code are those of this version, and every page is in the site."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import yaml
from page_browser import launched
from playwright.sync_api import sync_playwright
from waiting import HANG

from dim.__main__ import TRAINER_COMMANDS, main
from dim.cli.commands import COMMANDS
from dim.cli.trainer_line import check_names

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "benchmarks/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    return [code for of, code in BLOCK.findall(page.read_text(encoding="utf-8")) if of == language]


def links(page: Path) -> Iterator[tuple[str, str]]:
    """The path and the anchor of each link to a file or a heading."""
    text = re.sub("`[^`]*`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    for target in [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|srcset)="([^"]+)"', text)]:
        if not re.match(r"\w+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """Those of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def help_of(*words: str) -> str:
    told = StringIO()
    with redirect_stdout(told), pytest.raises(SystemExit):
        main([*words, "--help"])
    return told.getvalue()


def commands(page: Path) -> Iterator[list[str]]:
    """The words after `dim` of each command line."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.split(" | ")[0], comments=True)
            if "-m" in words and words[words.index("-m") + 1] == "dim":
                yield [word for word in words[words.index("-m") + 2 :] if word not in {"&", ";", "done"}]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_and_headings_that_are_there(name: str) -> None:
    page = ROOT / name
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_commands_have_the_options_that_they_are_shown_with(name: str) -> None:
    for command, *given in commands(ROOT / name):
        if command == "fit":
            check_names([command, *(word for word in given if "{" not in word)])
            continue
        assert command in {*TRAINER_COMMANDS, *COMMANDS}
        if command in COMMANDS:
            part = given[:1] if len(COMMANDS[command].functions) > 1 else []
            told = help_of(command, *part)
            for option in (word for word in given if re.match(r"--\w\S*$", word)):
                assert re.search(rf"{re.split('[.=]', option)[0]}\b", told), (command, option)


@pytest.mark.parametrize("name", NAMES)
def test_python_is_python(name: str) -> None:
    for code in blocks(ROOT / name, "python"):
        ast.parse(code)


def test_every_page_of_the_folder_is_in_the_site() -> None:
    told = re.findall(r"[\w/]+\.md", yaml.safe_dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    folder = ROOT / "docs"
    assert {str(page.relative_to(folder)) for page in folder.rglob("*.md")} <= set(told)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` builds."""
    pytest.importorskip("mkdocs", reason="pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("docs") / "site"
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.mark.long
def test_the_site_is_built_without_a_warning_and_asks_nothing_of_the_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        asked = re.findall(r'<(?:script|link|img|source)[^>]+(?:src|srcset|href)="(\w+:[^"]+)"', page.read_text())
        assert [each for each in asked if not each.startswith("data:")] == [], page
    assert "usage: dim link" in (site / "reference/commands.html").read_text()


@pytest.mark.long
def test_the_site_is_searched_from_the_disk(site: Path) -> None:
    with sync_playwright() as playwright, launched(playwright) as browser:
        page = browser.new_page()
        page.goto(f"{(site / 'how_to/link.html').as_uri()}?q=calibration")
        page.wait_for_selector(".md-search-result__link", state="attached", timeout=1000 * HANG)
