"""`dim bench embed`: the whole way into the cache, against the bare models, bare decoding, and the published way."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.clock import say_measured, seconds
from benchmarks.gpu import gpu_utilization
from benchmarks.made_up import made_up_dataset
from dim.data.dataset import Dataset
from dim.display.terminal import Console
from dim.encoders.clip import OpenClipEncoder
from dim.encoders.device import Precision, resolve_device
from dim.encoders.text import TransformersTextEncoder
from dim.features.embed import embed_dataset
from dim.features.fields import Choices
from dim.features.inputs import Inputs
from dim.images.reading import load_image

GOALS = {"text": 0.95, "image": 0.95, "batching": 1.3}
COPIES = 3  # mentions that share an image, in the row of duplicates
NUM_PUBLISHED = 24  # images that the published way is timed on
Row = dict[str, float]


def bench_embed(
    text_encoder_path: str | None = None,
    num_texts: int = 128,
    num_images: int = 128,
    image_size: tuple[int, int] = (640, 480),
    num_large: int = 16,
    large_size: tuple[int, int] = (2400, 1600),
    clip_model: str = "ViT-B-32",
    batch_size: int = 64,
    num_workers: int | None = None,
    rounds: int = 3,
    device: str = "cpu",
    precision: Precision | None = None,
    compile_model: bool = True,
    seed: int = 0,
) -> dict[str, Row]:
    """Times bare forwards, bare decoding, the published way and `embed` in turns, on made-up texts and JPEGs.

    A bare forward of texts is tokenising and the model in batches sorted by length; of images, the model (with random
    weights, which are as fast as trained ones) on pixels that are ready. The ceiling is what a perfect overlap on all
    cores gives: 1 / (1 / bare rate + decoding time / cores); beside a GPU, the smaller of the two rates. The published
    way decodes and encodes one image after the other, each as often as it is mentioned. The models are loaded before
    the clock starts.

    Args:
        text_encoder_path: A Transformers model; without one, the text side of the CLIP model is timed.
        num_texts: Made-up texts of 1 to 40 words.
        num_images: Made-up JPEGs.
        image_size: Their width and height.
        num_large: Made-up JPEGs for draft decoding.
        large_size: Their width and height.
        clip_model: A model name of open_clip.
        batch_size: Inputs an encoder call.
        num_workers: Processes that decode; the default is one a core.
        rounds: How often each is timed; the tables hold medians.
        device: `cpu` or `cuda`; with `cuda`, the utilisation of the GPU is printed too.
        precision: Of the models; the default is bf16 on a GPU and fp32 elsewhere.
        compile_model: Whether to time `torch.compile` too; compiling takes up to a minute.
        seed: Of texts, pixels and weights.
    """
    precision = precision or ("bf16" if resolve_device(device).type == "cuda" else "fp32")
    encoder = partial(OpenClipEncoder, clip_model, None, precision, device, seed)
    clip = encoder()
    text = TransformersTextEncoder(text_encoder_path, precision=precision, device=device) if text_encoder_path else clip
    with TemporaryDirectory() as name:
        folder = Path(name)
        usual = made_up_dataset(folder / "usual", num_texts, num_images, image_size, seed)
        repeated = made_up_dataset(folder / "repeated", 1, -(-num_images // COPIES), image_size, seed, COPIES)
        large = made_up_dataset(folder / "large", 1, num_large, large_size, seed)
        clock = _Clock(batch_size, num_workers, rounds)
        drafting = encoder(draft=True)
        results = {}
        with Console(stderr=True).status("") as status:
            status.update("texts")
            results["text"] = clock.texts(usual, text)
            status.update("images")
            results |= clock.images(usual, repeated, clip)
            status.update("draft decoding")
            results |= clock.drafts(large, clip, drafting)
            if compile_model:
                status.update("torch.compile")
                results["compile"] = clock.compiled(usual, clip, encoder(compile_model=True))
        if clip.model_device.type == "cuda":  # pragma: needs a GPU
            results["gpu"] = {"utilization": gpu_utilization(lambda: clock.embed(usual, image_encoder=clip))}
    sizes = ["×".join(map(str, size)) for size in (image_size, large_size)]
    title = f"{num_texts:,} texts, {num_images:,} JPEGs of {sizes[0]}, {clip_model} in {precision}, batch {batch_size}"
    _print(title, f"{num_large} JPEGs of {sizes[1]}", results)
    return results


class _Clock:
    def __init__(self, batch_size: int, num_workers: int | None, rounds: int) -> None:
        self.batch_size, self.num_workers, self.rounds = batch_size, num_workers, rounds
        self.num_cores = len(os.sched_getaffinity(0))

    def texts(self, dataset: Dataset, encoder: TransformersTextEncoder | OpenClipEncoder) -> Row:
        unique = Inputs.of_texts(dataset.entities["name"].tolist()).unique
        batches = [unique[i : i + self.batch_size] for i in range(0, len(unique), self.batch_size)]

        def bare() -> None:
            for batch in batches:
                _bare_text(encoder, batch)

        _bare_text(encoder, unique[-2:])
        turns = [(seconds(bare), self.embed(dataset, text_encoder=encoder)) for _ in range(self.rounds)]
        return _figures(len(unique), turns, decode=0.0)

    def images(self, usual: Dataset, repeated: Dataset, encoder: OpenClipEncoder) -> dict[str, Row]:
        """Against the ceiling; and mentions a second against the published way, by batching and with duplicates.

        The published way takes as long for a duplicate as for its original, so it is timed on some of the originals.
        """
        bare = self._bare_images(usual, encoder)
        encoder.encode_image(np.stack(_decode(usual, encoder)[:1]))
        num, num_repeated = len(usual.mentions), len(repeated.mentions)
        decode, forward, embed, published, duplicates = zip(
            *(
                (
                    seconds(lambda: _decode(usual, encoder)),
                    seconds(bare),
                    self.embed(usual, image_encoder=encoder),
                    _one_at_a_time(usual, encoder),
                    self.embed(repeated, image_encoder=encoder),
                )
                for _ in range(self.rounds)
            ),
            strict=True,
        )
        overlaps = encoder.model_device.type == "cuda"
        pairs = list(zip(forward, embed, strict=True))
        return {
            "image": _figures(num, pairs, median(decode) / self.num_cores, overlaps),
            "batching": _against([(a, b / num) for a, b in zip(published, embed, strict=True)]),
            "duplicates": _against([(a, b / num_repeated) for a, b in zip(published, duplicates, strict=True)]),
        }

    def drafts(self, dataset: Dataset, full: OpenClipEncoder, draft: OpenClipEncoder) -> dict[str, Row]:
        """Large JPEGs a second against the published way; by one core in full and by draft; how far features differ."""
        num = len(dataset.mentions)
        turns = [
            (_one_at_a_time(dataset, full), self.embed(dataset, image_encoder=draft) / num) for _ in range(self.rounds)
        ]
        decoding = [[seconds(lambda e=e: _decode(dataset, e)) for e in (full, draft)] for _ in range(self.rounds)]  # type: ignore[misc]
        a, b = (full.encode_image(np.stack(_decode(dataset, encoder))) for encoder in (full, draft))
        cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
        apart = {
            "full": num / median(turn[0] for turn in decoding),
            "draft": num / median(turn[1] for turn in decoding),
            "ratio": median(turn[0] / turn[1] for turn in decoding),
            "difference": float(np.abs(a - b).max() / np.abs(a).max()),
            "cosine": float(cosine.min()),
        }
        return {"draft": _against(turns), "decoding": apart}

    def compiled(self, dataset: Dataset, eager: OpenClipEncoder, compiled: OpenClipEncoder) -> Row:
        """Bare forwards of images, as they are and compiled; and seconds to compile."""
        pixels = np.stack(_decode(dataset, eager)[: self.batch_size])
        start = seconds(lambda: compiled.encode_image(pixels))
        turns = [[seconds(lambda e=e: e.encode_image(pixels)) for e in (eager, compiled)] for _ in range(self.rounds)]  # type: ignore[misc]
        return {
            "eager": len(pixels) / median(turn[0] for turn in turns),
            "compiled": len(pixels) / median(turn[1] for turn in turns),
            "ratio": median(turn[0] / turn[1] for turn in turns),
            "seconds": start,
        }

    def embed(self, dataset: Dataset, **encoder: TransformersTextEncoder | OpenClipEncoder) -> float:
        with TemporaryDirectory() as cache:
            return seconds(
                lambda: embed_dataset(
                    dataset,
                    Choices(**encoder),  # type: ignore[arg-type]
                    cache_dir=Path(cache),
                    batch_size=self.batch_size,
                    num_workers=self.num_workers,
                    progress=False,
                )
            )

    def _bare_images(self, dataset: Dataset, encoder: OpenClipEncoder) -> Callable[[], None]:
        pixels = torch.cat([encoder.normalize_pixels(np.stack([image])) for image in _decode(dataset, encoder)])

        def bare() -> None:
            with torch.inference_mode():
                for batch in pixels.split(self.batch_size):
                    encoder.model.encode_image(batch).cpu()  # type: ignore[operator]

        return bare


def _decode(dataset: Dataset, encoder: OpenClipEncoder) -> list[NDArray[np.uint8]]:
    root = dataset.image_root
    names = [paths[0] for paths in dataset.mentions["images"]]
    return [encoder.preprocess(load_image(root / name, root, encoder.draft_side)) for name in names]


def _one_at_a_time(dataset: Dataset, encoder: OpenClipEncoder) -> float:
    """Seconds an image of the published way: no batch, no cache, no second process."""
    names = [paths[0] for paths in dataset.mentions["images"]][:NUM_PUBLISHED]

    def encode_all() -> None:
        for name in names:
            image = load_image(dataset.image_root / name, dataset.image_root)
            encoder.encode_image(np.stack([encoder.preprocess(image)]))

    return seconds(encode_all) / len(names)


def _against(turns: Sequence[tuple[float, float]]) -> Row:
    """Rates of seconds (published, ours); the ratio is taken round by round."""
    published, ours = (1 / median(turn[i] for turn in turns) for i in range(2))
    return {"published": published, "embed": ours, "ratio": median(a / b for a, b in turns)}


def _bare_text(encoder: TransformersTextEncoder | OpenClipEncoder, texts: Sequence[str]) -> None:
    if isinstance(encoder, OpenClipEncoder):
        encoder.encode_text(texts)
        return
    with torch.inference_mode():
        encoder.model(**encoder.tokenize(texts)).last_hidden_state.cpu()


def _figures(num: int, turns: Sequence[tuple[float, ...]], decode: float, overlaps: bool = False) -> Row:
    """Rates a second. The ratio is taken round by round, so that a change of the machine's load cancels."""

    def ideal(bare: float) -> float:
        return max(bare, decode) if overlaps else bare + decode

    return {
        "bare": num / median(bare for bare, _ in turns),
        "decode": num / decode if decode else float("nan"),
        "ceiling": num / ideal(median(bare for bare, _ in turns)),
        "embed": num / median(embed for _, embed in turns),
        "ratio": median(ideal(bare) / embed for bare, embed in turns),
    }


def _print(title: str, large: str, results: dict[str, Row]) -> None:
    console = Console()
    names = {"bare": "bare forward /s", "decode": "decoding, all cores /s", "ceiling": "ceiling /s"}
    _table(console, title, results, ("text", "image"), names | {"embed": "embed /s", "ratio": "ratio"})
    names = {"published": "one at a time /s", "embed": "embed /s", "ratio": "ratio"}
    title = f"mentions; duplicates: {COPIES} an image; draft: {large}"
    _table(console, title, results, ("batching", "duplicates", "draft"), names)
    row = results["decoding"]
    console.say(
        f"decoding and resizing {large} on one core: {row['full']:.1f}/s in full, {row['draft']:.1f}/s by draft "
        f"({row['ratio']:.2f} times); features differ by at most {row['difference']:.2%} of the largest value, "
        f"cosine at least {row['cosine']:.5f}"
    )
    if row := results.get("compile", {}):
        console.say(
            f"torch.compile, images: {row['eager']:.1f}/s without, {row['compiled']:.1f}/s with it "
            f"({row['ratio']:.2f} times), {row['seconds']:.0f} s to compile"
        )
    if "gpu" in results:  # pragma: needs a GPU
        console.print(f"GPU busy during embed: {results['gpu']['utilization']:.0%} (goal ≥ 85%)")
    say_measured()


def _table(console: Console, title: str, results: dict[str, Row], rows: Sequence[str], names: dict[str, str]) -> None:
    table = Table(title=title)
    for column in ("", *names.values()):
        table.add_column(column, justify="right")
    for row in rows:
        values = {key: results[row][key] for key in names}
        cells = [f"{value:,.1f}" if value == value else "–" for key, value in values.items() if key != "ratio"]
        goal = f" (goal ≥ {GOALS[row]})" if row in GOALS else ""
        table.add_row(row, *cells, f"{values['ratio']:.3f}{goal}")
    console.print(table)
