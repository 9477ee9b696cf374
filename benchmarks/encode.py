"""`dim bench encode`: a text encoder by each backend, in turns on the same texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.table import Table

from benchmarks.clock import say_measured, seconds
from benchmarks.made_up_linker import Shape, draw_questions, make_world
from dim.display.terminal import Console
from dim.encoders.text import TransformersTextEncoder
from dim.errors import ConfigError

NUM_ENTITIES = 1000  #: Of the world whose mentions are encoded.
_WARM = 10
_OPTIONS: dict[str, dict[str, str]] = {
    "torch": {"backend": "torch"},
    "onnx": {"backend": "onnx"},
    "openvino": {"backend": "openvino"},
    "openvino_bf16": {"backend": "openvino", "precision": "bf16"},
    "onnx_int8": {"backend": "onnx", "precision": "int8"},
    "openvino_int8": {"backend": "openvino", "precision": "int8"},
}


def bench_encode(
    text_encoder: Path | None = None,
    backends: Sequence[str] = ("torch", "onnx", "openvino"),
    num_mentions: int = 200,
    batch_size: int = 64,
    rounds: int = 10,
    shape: Shape = "minilm",
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Times a text encoder by each backend against torch, in turns on the same texts of a demo world.

    Args:
        text_encoder: The folder of a Transformers text encoder; None: a BERT of MiniLM's shape, with random weights.
        backends: Of `torch`, `onnx`, `openvino`, `openvino_bf16` (a CPU that computes so), `onnx_int8` and
            `openvino_int8`; torch is always timed.
        num_mentions: Encoded one at a time, name and context in one call.
        batch_size: Texts a call, of like length.
        rounds: Such calls.
        shape: Of the made encoder; `tiny` is for tests.
        seed: Of the world, the mentions and the weights.

    Returns:
        What the table shows, by backend.

    Raises:
        ConfigError: There is nothing to measure, a backend's package is missing, or it gives other vectors than torch.
    """
    if min(num_mentions, batch_size, rounds) < 1 or not set(backends) <= set(_OPTIONS):
        found = f"{num_mentions}, {batch_size}, {rounds}; {', '.join(backends)}"
        raise ConfigError(f"mentions, a batch, a round at least, and of {', '.join(_OPTIONS)}", found, "Say others.")
    with TemporaryDirectory() as folder:
        world, path = make_world(Path(folder), NUM_ENTITIES, text_encoder, shape, seed)
        asked = draw_questions(world, max(num_mentions, rounds * batch_size), seed)
        names = dict.fromkeys(("torch", *backends))
        made = {name: TransformersTextEncoder(str(path), device="cpu", **_OPTIONS[name]) for name in names}  # type: ignore[arg-type]
        single = [[each.mention, each.context] for each in asked[:num_mentions]]
        texts = sorted((each.context for each in asked[: rounds * batch_size]), key=len)
        batches = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)]
        calls: dict[str, Callable[[Sequence[str]], object]] = {name: each.encode_text for name, each in made.items()}
        ones, many = _in_turns(calls, single), _in_turns(calls, batches)
        expected = np.concatenate([made["torch"].encode_text(batch) for batch in batches])
        cosines = {
            name: _cosine(expected, [each.encode_text(batch) for batch in batches]) for name, each in made.items()
        }
    results = {
        name: {
            "one_p50": 1000 * float(np.median(ones[name])),
            "one_p99": 1000 * float(np.quantile(ones[name], 0.99)),
            "one_ratio": float(np.median(ones[name] / ones["torch"])),
            "batch": len(texts) / float(many[name].sum()),
            "batch_ratio": float(np.median(many["torch"] / many[name])),
            "cosine": cosines[name],
        }
        for name in made
    }
    _print(results, f"{text_encoder.name if text_encoder else f'{shape} (random)'}, batches of {batch_size}")
    facts = f"{torch.get_num_threads()} threads, {num_mentions} mentions, {rounds} batches"
    say_measured(facts)
    return results


def _in_turns(
    calls: dict[str, Callable[[Sequence[str]], object]], inputs: Sequence[Sequence[str]]
) -> dict[str, np.ndarray]:
    """Seconds of each call of each input, in an order that turns; the first ones warm up."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for place, texts in enumerate([*inputs[:_WARM], *inputs]):
        for name in list(calls)[:: 1 if place % 2 else -1]:
            taken[name].append(seconds(lambda call=calls[name], texts=texts: call(texts)))  # type: ignore[misc]
    return {name: np.array(values[len(inputs[:_WARM]) :]) for name, values in taken.items()}


def _cosine(expected: np.ndarray, parts: Sequence[np.ndarray]) -> float:
    """The least cosine of a vector with the one that is expected."""
    found = np.concatenate(parts)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((found * expected).sum(axis=1) / norms).min())


def _print(results: dict[str, dict[str, float]], title: str) -> None:
    table = Table(title=title, caption="one: a mention's name and context in one call, the ratio a median of pairs")
    for column in ("", "one p50 ms", "p99 ms", "of torch's", "texts a second", "times torch's", "least cosine"):
        table.add_column(column, justify="right" if column else "left", no_wrap=not column)
    for name, row in results.items():
        one = f"{row['one_p50']:.2f}", f"{row['one_p99']:.2f}", f"{row['one_ratio']:.2f}"
        table.add_row(name, *one, f"{row['batch']:,.0f}", f"{row['batch_ratio']:.2f}", f"{row['cosine']:.6f}")
    Console().print(table)
