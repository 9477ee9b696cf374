"""Writes the table of docs/reference/tokenizers.md, of what tokenizers make of the names of KBs.

python tests/tokenizer_table.py --tokenizers NAME=FOLDER … --datasets FOLDER …

A tokenizer's folder holds tokenizer.json and tokenizer_config.json; a dataset's is one that `dim prepare` wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dim  # before torchvision is imported, whose compiled part may not load

# isort: split
import numpy as np
import transformers
from tiny_tokenizers import unigram

from dim.core.folder_files import peek_json
from dim.data.dataset import Dataset
from dim.methods.generative.name_check import ALIKE, OTHER_FORM, NameCheck, behind_prompt
from dim.methods.generative.names import build_tree, name_pairs
from dim.methods.generative.tokenizer import NameRules, Tokenized

DOCUMENT = Path(__file__).parent.parent / "docs/reference/tokenizers.md"
LONGEST = 32  #: Tokens of a name and its end, as GEMEL has it.
HEAD = """| tokenizer | start token | {kb} names | left out | of them unknown characters | other form \
| like another name | behind a prompt, alone | behind a prompt | with a line's end |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
"""


@dataclass
class TokenizerFolder(Tokenized):
    """A tokenizer without a model."""

    def _open_tokenizer(self) -> tuple[Any, Mapping[str, Any]]:
        tokenizer = transformers.AutoTokenizer.from_pretrained(self.path)
        if tokenizer.eos_token_id is None:  # of encoders: what ends their texts
            tokenizer.eos_token = tokenizer.sep_token
        return tokenizer, peek_json(Path(self.path) / "tokenizer_config.json", dict) or {}


def row(kind: str, model: Tokenized, names: Sequence[str]) -> str:
    """The line of a tokenizer and the distinct names of a KB."""
    model.rules = NameRules(name_tokens="alone")
    alone = behind_prompt(model, names)
    start = model.tokenizer.bos_token if model.starts("auto") else ""
    model.rules = NameRules(name_tokens="behind_prompt")
    check = NameCheck(model, names)
    tree = build_tree(names, np.arange(len(names)), model, LONGEST, check)
    counts = [sum(what["count"] for what in tree.left_out.values())]
    counts += [tree.left_out.get("characters that the vocabulary lacks", {"count": 0})["count"]]
    counts += [check.facts.get(kind, {"count": 0})["count"] for kind in (OTHER_FORM, ALIKE)]
    now = behind_prompt(model, names)
    shares = [100 * share / now["tried"] for share in (alone["same"], now["same"], now["same_with_line"])]
    cells = [kind, f"`{start}`" if start else "", *(f"{count:,}" for count in (len(names), *counts))]
    return f"| {' | '.join([*cells, *(f'{share:.1f}%' for share in shares)])} |"


def names_of(dataset: Dataset) -> list[str]:
    """The distinct names and aliases of a KB."""
    return list(dict.fromkeys(name_pairs(dataset, aliases=True, nil=False)[0]))


def table(tokenizers: Mapping[str, str], datasets: Sequence[Dataset]) -> str:
    """The lines of all tokenizers, for one KB after the other; a Unigram tokenizer is trained on the spot."""
    parts = []
    for dataset in datasets:
        names = names_of(dataset)
        lines = [row(kind, TokenizerFolder(folder), names) for kind, folder in tokenizers.items()]
        with TemporaryDirectory() as place:
            texts = dataset.mentions["context"].head(5000).tolist()
            unigram([text for text in texts if text], vocab_size=8000).save_pretrained(place)
            lines.append(row("Unigram as of T5, trained here", TokenizerFolder(place), names))
        parts.append(HEAD.format(kb=dataset.name) + "\n".join(lines) + "\n")
    return "\n".join(parts)


def versions() -> str:
    """What it was made with, and when."""
    return f"dim {dim.__version__}, Transformers {transformers.__version__}, {date.today()}\n"


def write(document: Path, made: Mapping[str, str]) -> None:
    """Puts texts in the places of a document that are named so."""
    text = document.read_text(encoding="utf-8")
    for name, content in made.items():
        before, rest = text.split(f"<!-- {name} -->\n")
        _, after = rest.split(f"<!-- /{name} -->\n")
        text = f"{before}<!-- {name} -->\n{content}<!-- /{name} -->\n{after}"
    document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", nargs="+", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--datasets", nargs="+", required=True, type=Path, metavar="FOLDER")
    chosen = parser.parse_args()
    found = dict(each.split("=", 1) for each in chosen.tokenizers)
    write(DOCUMENT, {"versions": versions(), "table": table(found, [Dataset(path) for path in chosen.datasets])})
