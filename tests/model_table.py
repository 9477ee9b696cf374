"""Writes the tables of docs/reference/models.md: what dim does with each family of models, on tiny random weights.

python tests/model_table.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dim  # before torchvision is imported, whose compiled part may not load

# isort: split
import numpy as np
import open_clip
import torch
import transformers
from model_families import IMAGES, TEXTS, write_family
from PIL import Image

from dim.encoders.clip_preprocess import FIELDS, tags_of
from dim.encoders.device import Precision
from dim.encoders.image import TransformersImageEncoder
from dim.encoders.text import TransformersTextEncoder
from dim.errors import DimError

DOCUMENT = Path(__file__).parent.parent / "docs/reference/models.md"
WORDS = ["anna", "anna sees a town by the sea, and paris", "a"]
FAMILIES = """| family | reads | columns | bf16 | fp16 | refused, and why |
|---|---|---|---|---|---|
"""
WAYS = """| of {num_models} architectures | how images are prepared for a file |
|---|---|
| {known} | as all tags of the model say: {other} of them otherwise than OpenAI's |
| {mixed} | tags differ ({mixed_names}): a file of a tag's own name is known, else `preprocess` has to be set |
| {none} | there are no tags: `preprocess` has to be set |
"""


def row(kind: str, place: Path) -> Iterator[str]:
    """The lines of a family, which is written into a folder."""
    folder = str(write_family(place, kind))
    if kind in TEXTS or "text_config" in IMAGES[kind]:
        yield _line(kind, "texts", lambda precision: _texts(folder, precision))
    if kind in IMAGES:
        yield _line(kind, "images", lambda precision: _images(folder, precision))


def _line(kind: str, what: str, features: Callable[[Precision], np.ndarray[Any, Any]]) -> str:
    try:
        exact = features("fp32")
    except DimError as error:
        return f"| {kind} | {what} | | | | {_said(error)} |"
    cosines, refused = [], []
    for precision in ("bf16", "fp16"):
        try:
            cosines.append(f"{_least_cosine(exact, features(precision)):.3f}")  # type: ignore[arg-type]
        except DimError as error:
            cosines.append("refused")
            refused.append(f"{precision}: {_said(error)}")
    return f"| {kind} | {what} | {exact.shape[1]} | {' | '.join(cosines)} | {'; '.join(refused)} |"


def _said(error: DimError) -> str:
    return " ".join(str(error.found).split())


def _least_cosine(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / lengths).min())


def _texts(folder: str, precision: Precision) -> np.ndarray[Any, Any]:
    return TransformersTextEncoder(folder, precision=precision, device="cpu").encode_text(WORDS)


def _images(folder: str, precision: Precision) -> np.ndarray[Any, Any]:
    encoder, noise = TransformersImageEncoder(folder, precision=precision, device="cpu"), np.random.default_rng(0)
    photos = [Image.fromarray(noise.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in ((60, 40), (33, 70))]
    return encoder.encode_image(np.stack([encoder.preprocess(photo) for photo in photos]))


def families() -> str:
    """The table of Transformers' families."""
    lines = []
    for kind in dict.fromkeys([*TEXTS, *IMAGES]):
        with TemporaryDirectory() as place:
            lines += list(row(kind, Path(place)))
    return FAMILIES + "\n".join(lines) + "\n"


def ways() -> str:
    """The table of how images are prepared for weights of open_clip in a file."""
    found = {
        model: {tuple(str(tag.get(field)) for field in FIELDS) for tag in tags_of(model).values()}
        for model in open_clip.list_models()
    }
    (openai,) = found["ViT-B-32-quickgelu"]
    mixed = [model for model, way in found.items() if len(way) > 1]
    known = [way for way in found.values() if len(way) == 1]
    return WAYS.format(
        num_models=len(found),
        known=len(known),
        other=sum(openai not in way for way in known),
        mixed=len(mixed),
        mixed_names=", ".join(mixed),
        none=sum(not way for way in found.values()),
    )


def versions() -> str:
    """What it was made with, and when."""
    packages = {"dim": dim, "Transformers": transformers, "open_clip": open_clip, "torch": torch}
    return ", ".join(f"{name} {package.__version__}" for name, package in packages.items()) + f", {date.today()}\n"


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    for made in (versions, families, ways):
        before, rest = text.split(f"<!-- {made.__name__} -->\n")
        _, after = rest.split(f"<!-- /{made.__name__} -->\n")
        text = f"{before}<!-- {made.__name__} -->\n{made()}<!-- /{made.__name__} -->\n{after}"
    DOCUMENT.write_text(text, encoding="utf-8")
