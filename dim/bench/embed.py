"""`dim bench embed`: the whole way into the cache, against the bare models and the bare decoding of the same inputs."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from dim.bench.clock import seconds
from dim.embed import embed_dataset
from dim.features.clip import OpenClipEncoder
from dim.features.images import load_image
from dim.features.inputs import Inputs
from dim.features.text import TransformersTextEncoder
from dim.provenance import commit, hardware
from dim.records import Dataset, write_dataset


def bench_embed(
    text_encoder_path: str | None = None,
    num_texts: int = 1024,
    num_images: int = 256,
    image_size: tuple[int, int] = (640, 480),
    clip_model: str = "ViT-B-32",
    batch_size: int = 64,
    num_workers: int | None = None,
    rounds: int = 3,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Times bare forwards, bare decoding and `embed` in turns, on made-up texts and JPEGs.

    A bare forward of texts is tokenising and the model in batches sorted by length; of images, the model (with random
    weights, which are as fast as trained ones) on pixels that are ready. The ceiling is what a perfect overlap on all
    cores gives: 1 / (1 / bare rate + decoding time / cores). The models are loaded before the clock starts.

    Args:
        text_encoder_path: A Transformers model; without one, the text side of the CLIP model is timed.
        num_texts: Made-up texts of 1 to 40 words.
        num_images: Made-up JPEGs.
        image_size: Their width and height.
        clip_model: A model name of open_clip.
        batch_size: Inputs an encoder call.
        num_workers: Processes that decode; the default is one a core.
        rounds: How often each is timed; the table holds medians.
        seed: Of texts, pixels and weights.
    """
    clip = OpenClipEncoder(clip_model, pretrained=None, random_seed=seed)
    text = TransformersTextEncoder(text_encoder_path) if text_encoder_path else clip
    with TemporaryDirectory() as folder:
        dataset = _made_up_dataset(Path(folder), num_texts, num_images, image_size, seed)
        clock = _Clock(dataset, batch_size, num_workers)
        results = {"text": clock.texts(text, rounds), "image": clock.images(clip, rounds)}
    size = "×".join(map(str, image_size))
    _print(f"{num_texts:,} texts, {num_images:,} JPEGs of {size}, {clip_model}, batch {batch_size}", results)
    return results


class _Clock:
    def __init__(self, dataset: Dataset, batch_size: int, num_workers: int | None) -> None:
        self.dataset, self.batch_size, self.num_workers = dataset, batch_size, num_workers
        self.num_cores = len(os.sched_getaffinity(0))

    def texts(self, encoder: TransformersTextEncoder | OpenClipEncoder, rounds: int) -> dict[str, float]:
        unique = Inputs.of_texts(self.dataset.entities["name"].tolist()).unique
        batches = [unique[i : i + self.batch_size] for i in range(0, len(unique), self.batch_size)]

        def bare() -> None:
            for batch in batches:
                _bare_text(encoder, batch)

        _bare_text(encoder, unique[-2:])
        turns = [(seconds(bare), self._embed(text_encoder=encoder)) for _ in range(rounds)]
        return _figures(len(unique), turns, decode=0.0)

    def images(self, encoder: OpenClipEncoder, rounds: int) -> dict[str, float]:
        paths = [self.dataset.image_root / name[0] for name in self.dataset.mentions["images"]]

        def decode() -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
            return [encoder.preprocess(load_image(path, self.dataset.image_root)) for path in paths]

        pixels = torch.cat([encoder.normalize_pixels(np.stack([image])) for image in decode()])

        def bare() -> None:
            with torch.inference_mode():
                for batch in pixels.split(self.batch_size):
                    encoder.model.encode_image(batch).cpu()  # type: ignore[operator]

        encoder.encode_image(np.stack([encoder.preprocess(load_image(paths[0], self.dataset.image_root))]))
        turns = [(seconds(decode), seconds(bare), self._embed(image_encoder=encoder)) for _ in range(rounds)]
        decoding = median(turn[0] for turn in turns) / self.num_cores
        return _figures(len(paths), [turn[1:] for turn in turns], decoding)

    def _embed(self, **encoder: TransformersTextEncoder | OpenClipEncoder) -> float:
        with TemporaryDirectory() as cache:
            return seconds(
                lambda: embed_dataset(
                    self.dataset,
                    cache_dir=Path(cache),
                    batch_size=self.batch_size,
                    num_workers=self.num_workers,
                    progress=False,
                    **encoder,  # type: ignore[arg-type]
                )
            )


def _bare_text(encoder: TransformersTextEncoder | OpenClipEncoder, texts: Sequence[str]) -> None:
    if isinstance(encoder, OpenClipEncoder):
        encoder.encode_text(texts)
        return
    with torch.inference_mode():
        encoder.model(**encoder.tokenize(texts)).last_hidden_state.cpu()


def _figures(num: int, turns: Sequence[tuple[float, ...]], decode: float) -> dict[str, float]:
    """Rates a second. The ratio is taken round by round, so that a change of the machine's load cancels."""
    return {
        "bare": num / median(bare for bare, _ in turns),
        "decode": num / decode if decode else float("nan"),
        "ceiling": num / (median(bare for bare, _ in turns) + decode),
        "embed": num / median(embed for _, embed in turns),
        "ratio": median((bare + decode) / embed for bare, embed in turns),
    }


def _made_up_dataset(folder: Path, num_texts: int, num_images: int, size: tuple[int, int], seed: int) -> Dataset:
    """Texts are entity names, so that each is one unique input; each image belongs to one mention without text."""
    random = np.random.default_rng(seed)
    words = np.array(["".join(random.choice(list("aeionrstl"), 3)) for _ in range(2000)])
    names = [f"{i} " + " ".join(random.choice(words, random.integers(1, 41))) for i in range(num_texts)]
    (folder / "images").mkdir()
    for i in range(num_images):
        # Smooth noise: about as many bytes a pixel as a photograph.
        noise = Image.fromarray(random.integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        noise.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        (folder / "images" / f"{i}.jpg").write_bytes(buffer.getvalue())
    return write_dataset(
        folder / "dataset",
        name="bench",
        entities=pd.DataFrame({"id": [f"e{i}" for i in range(num_texts)], "name": names}),
        texts={"brief": pd.DataFrame({"entity_id": ["e0"], "text": [None]})},
        mentions=pd.DataFrame(
            {
                "id": [f"m{i}" for i in range(num_images)],
                "split": ["train"] * num_images,
                "images": [[f"{i}.jpg"] for i in range(num_images)],
            }
        ),
        image_root=str(folder / "images"),
    )


def _print(title: str, results: dict[str, dict[str, float]]) -> None:
    table = Table(title=title)
    for column in ("", "bare forward /s", "decoding, all cores /s", "ceiling /s", "embed /s", "ratio (goal ≥ 0.95)"):
        table.add_column(column, justify="right")
    for name, row in results.items():
        cells = (f"{row[key]:,.1f}" if row[key] == row[key] else "–" for key in ("bare", "decode", "ceiling", "embed"))
        table.add_row(name, *cells, f"{row['ratio']:.3f}")
    Console().print(table)
    Console().print(f"{hardware()} · commit {commit()}", soft_wrap=True)
