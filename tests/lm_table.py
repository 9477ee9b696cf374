"""Writes the table of docs/reference/language_models.md, of what dim does with each family of language models.

python tests/lm_table.py              # all of them, some minutes
python tests/lm_table.py llama bart   # prints the rows of some
"""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import dim

# isort: split
import torch
import transformers
from lm_families import KINDS, apart, scales, write_language_model
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from dim.errors import DimError
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.self_check import check_model

DOCUMENT = Path(__file__).parent.parent / "docs/reference/language_models.md"
HEAD = "| family | verdict | prompts, or why not | differs by | scale |\n|---|---|---|---|---|\n"
WITH_IMAGES = " with images"
#: Folders with an image model, as they are published.
WHOLE = (
    *("gemma3", "gemma4", "internvl", "llama4", "llava", "mistral3", "paligemma", "qwen2_5_vl", "qwen3_5"),
    *("qwen3_5_moe", "qwen3_vl"),
)
LEFT_OUT = {
    "blt": "reads bytes in patches, by a model of its own that is not made small here",
    "dots3_note": "its configuration names layers by number",
    "gemma4_assistant": "drafts for another model",
    "gemma4_unified_assistant": "drafts for another model",
    "musicgen": "writes sounds; its configuration is that of three models",
    "musicgen_melody": "writes sounds; its configuration is that of three models",
    "zamba": "its layers share weights in a way that is not made small here",
}
GROUP, TIMEOUT = 14, 240  # families a process, and its seconds: one that hangs or crashes ends no other


def row(kind: str) -> str:
    """The line of a family, which is written into a folder."""
    if kind in LEFT_OUT:
        return f"| {kind} | not tried | {LEFT_OUT[kind]} | | |"
    make = AutoModelForImageTextToText if kind.endswith(WITH_IMAGES) else AutoModelForCausalLM
    with TemporaryDirectory() as folder:
        write_language_model(Path(folder), kind.removesuffix(WITH_IMAGES), make)
        model = LanguageModel(folder)
        try:
            verdict = check_model(model)
        except DimError as error:
            return f"| {kind} | refused | {_short(str(error.found), folder)} | | |"
        slow = "" if verdict.way.is_fast else f" ({_short('; '.join(verdict.faster), folder)})"
        return f"| {kind} | {verdict.facts['verdict']} | {verdict.way}{slow} | {apart(model):.0e} | {_scale(model)} |"


def _scale(model: LanguageModel) -> str:
    """What a vector is multiplied by; nothing, where that is 1 or no number."""
    words = zip(scales(model), ("looked up", "behind"), strict=True)
    return ", ".join(f"× {by:.3g} {where}" for by, where in words if by is not None and abs(by - 1) > 0.01)


def rows(kinds: list[str]) -> list[str]:
    """The lines of families, tried in processes of their own."""
    lines: list[str] = []
    for start in range(0, len(kinds), GROUP):
        group = kinds[start : start + GROUP]
        found = _in_a_process(group)
        lines += found + [line for kind in group[len(found) :] for line in _in_a_process([kind])]
    return lines


def _in_a_process(kinds: list[str]) -> list[str]:
    """The lines that it wrote before it ended, however it did."""
    command = [sys.executable, __file__, *kinds]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            written, said = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            written, said = process.communicate()
    lines = [line for line in written.splitlines() if line.startswith("| ")]
    if len(kinds) == 1 and not lines:
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        lines = [f"| {kinds[0]} | not tried | {_short(f'ended with {process.returncode}: {last}', '')} | | |"]
    return lines


def _short(text: str, folder: str) -> str:
    """At most 200 characters, without what would end a cell, or is of this machine."""
    text = " ".join((text.replace(folder, "") if folder else text).split()).replace("|", "/")
    return text if len(text) <= 200 else text[:199] + "…"


def versions() -> str:
    """What it was made with, and when."""
    packages = {"dim": dim, "Transformers": transformers, "torch": torch}
    return ", ".join(f"{name} {package.__version__}" for name, package in packages.items()) + f", {date.today()}\n"


def families() -> str:
    """The table of all families."""
    lines = rows([*KINDS, *(kind + WITH_IMAGES for kind in WHOLE)])
    verdicts = [line.split(" | ")[1] for line in lines]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(sorted(verdicts))]
    return f"Of {len(lines)}: {', '.join(counts)}.\n\n{HEAD}" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:]:
        for kind in sys.argv[1:]:
            print(row(kind), flush=True)
        sys.exit()
    text = DOCUMENT.read_text(encoding="utf-8")
    for made in (versions, families):
        before, rest = text.split(f"<!-- {made.__name__} -->\n")
        _, after = rest.split(f"<!-- /{made.__name__} -->\n")
        text = f"{before}<!-- {made.__name__} -->\n{made()}<!-- /{made.__name__} -->\n{after}"
    DOCUMENT.write_text(text, encoding="utf-8")
