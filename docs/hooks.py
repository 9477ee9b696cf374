"""What `make docs` adds to these pages: those that stand elsewhere, notebooks, what each command says of itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

from dim.__main__ import TRAINER_COMMANDS
from dim.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
HELP = "<!-- what each command says of itself -->"
#: Pages that stand outside of this folder, and where the site has them.
BESIDE = {
    "README.md": "index.md",
    "benchmarks/README.md": "results/speed.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
SOURCE = re.compile(r'(?<=src=")([^":]+)(?=")|(?<=srcset=")([^":]+)(?=")')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that stand elsewhere."""
    for source, place in BESIDE.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, resources = MarkdownExporter().from_filename(str(notebook), {"unique_key": notebook.stem})
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=text))
        for name, content in resources["outputs"].items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links as the site has them, and with the commands' help where it belongs."""
    place = page.file.src_uri
    is_notebook = place.startswith("notebooks/")
    sources = {there: source for source, there in BESIDE.items()}
    folder = Path(place if is_notebook else sources.get(place, f"docs/{place}")).parent

    def moved(target: str) -> str | None:
        """Where a link leads in the site; None: to what is no page."""
        path, _, anchor = target.partition("#")
        if not path or "://" in target:
            return target
        wanted = os.path.normpath(folder / path)
        there = BESIDE.get(wanted, wanted.removeprefix("docs/").replace(".ipynb", ".md"))
        if files.get_file_from_path(there) is None:
            return None
        return os.path.relpath(there, Path(place).parent) + (f"#{anchor}" if anchor else "")

    def link(found: re.Match[str]) -> str:
        is_image, text, target = found.groups()
        if is_image and is_notebook:
            return found[0]
        return text if (there := moved(target)) is None else f"{is_image}[{text}]({there})"

    told = SOURCE.sub(lambda found: moved(found[0]) or found[0], LINK.sub(link, markdown))
    return told.replace(HELP, "\n\n".join(map(help_of, [*TRAINER_COMMANDS, *COMMANDS]))) if HELP in told else told


def help_of(command: str) -> str:
    """What a command says of itself, under its name."""
    line = [sys.executable, "-m", "dim", command, "--help"]
    said: Any = subprocess.run(line, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "110"})
    return f"## {command}\n\n```text\n{said.stdout.strip()}\n```"


class Examples(Extension):
    """Has examples in docstrings be shown as code, which of Google's two words only the plural is."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Takes each docstring as it is read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
