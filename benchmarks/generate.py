"""`dim bench generate`: names from GEMEL against the published way to write them, and what each difference gains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.table import Table

from benchmarks.clock import say_measured, seconds
from benchmarks.made_up_mentions import MadeUpMentions
from benchmarks.made_up_names import made_up_names
from benchmarks.published import Names, Published
from benchmarks.random_lm import RandomLanguageModel, Setting, Size, setting
from dim.display.terminal import Console
from dim.encoders.device import Precision, resolve_device
from dim.errors import ConfigError, DimError
from dim.methods.generative.examples import RandomExamples
from dim.methods.generative.module import GEMEL

MIN_RATIO = 3  # on a CPU: the goal
MAX_GAP = 1e-3  # between scores at one place, in fp32
CLOSE = 1e-4  # names whose scores are nearer than this may change places
# Each way, what it is called, and its gain on the one before.
_WAYS = {
    "published": ("published", ""),
    "once": ("prompt encoded once", "once_gain"),
    "single": ("GEMEL, batches of 1", "arrays_gain"),
    "batched": ("GEMEL, batches of {}", "batch_gain"),
}
_CAPTION = """published: one mention at a time, its prompt encoded for each beam,
vectors gathered in a loop, nested dicts; each row changes one thing:
one encoding for all beams, arrays for loops and dicts, batches"""
Way = Callable[[list[int]], list[Names]]


def bench_generate(
    size: Size = "125m",
    num_names: int = 20_000,
    num_mentions: int | None = None,
    num_examples: int | None = None,
    batch_size: int | None = None,
    precision: Precision | None = None,
    num_beams: int = 5,
    max_new_tokens: int = 8,
    device: str = "auto",
    rounds: int = 3,
    seed: int = 0,
) -> dict[str, float]:
    """Times GEMEL and the published way on the same mentions, in turns, and checks that both write the same names.

    The published way (GENRE, GEMEL): one mention at a time, its vectors gathered by a loop, `generate` with
    `inputs_embeds`, which encodes the prompt for each beam, and `prefix_allowed_tokens_fn` with nested dicts that are
    searched from the root. It has the same tokenizer, precision and beams here, and returns all names of the beams.
    The weights are random, which are as fast as trained ones; names, texts and image features are made up.

    Args:
        size: Of the language model: GPT-2's 125M, OPT-6.7B (for a GPU), or one small enough for a test.
        num_names: Different names of three parts.
        num_mentions: Mentions a turn; None: a batch.
        num_examples: In-context examples of each; None: 4, with OPT-6.7B 16, as released.
        batch_size: Prompts that GEMEL answers at once; None: 4, with OPT-6.7B 16.
        precision: Of weights and arithmetic; None: fp32, with OPT-6.7B bf16. In fp32 the names must be the same.
        num_beams: Beams a prompt, at least 2.
        max_new_tokens: The longest name, its end included; longer ones are left out. Beams of a random model go on to
            the longest names.
        device: `auto`, `cpu`, `cuda` …
        rounds: Turns, each with its own mentions.
        seed: Of names, mentions and weights.

    Returns:
        What the table shows.

    Raises:
        ConfigError: One beam; or prompts that the model's context has no room for.
        DimError: In fp32 the ways write different names.
    """
    if num_beams < 2:
        raise ConfigError("num_beams of at least 2", str(num_beams), "Raise --num_beams: one beam has no scores.")
    given = {"num_examples": num_examples, "batch_size": batch_size, "precision": precision}
    chosen = replace(setting(size), **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    num_mentions, rng = num_mentions or chosen.batch_size, np.random.default_rng(seed)
    with TemporaryDirectory() as folder, Console(stderr=True).status("names, mentions and the model"):
        names = made_up_names(num_names, rng)
        model = RandomLanguageModel(Path(folder) / "model", chosen.config, chosen.precision, device, seed, rng)
        data = MadeUpMentions(Path(folder), names, rounds * num_mentions + 1, rng)
        examples = RandomExamples(chosen.num_examples, seed)
        gemel = GEMEL(
            model, examples, num_beams=num_beams, max_new_tokens=max_new_tokens, train_mapper=False, seed=seed
        )
        gemel.open_for_scoring(data, None, resolve_device(device))
        results = measure(gemel, num_mentions, chosen.batch_size, rounds)
    if chosen.precision == "fp32":
        check_agreement(results)
    results |= {"names": len(gemel.tree), "parameters": model.num_parameters}
    _print(results, chosen, f"{size} ({model.num_parameters / 1e6:,.0f}M, random), {gemel.device.type}", num_beams)
    facts = f"{rounds} turns of {num_mentions} mentions, {chosen.num_examples} examples each"
    say_measured(facts)
    return results


def measure(gemel: GEMEL, num_mentions: int, batch_size: int, rounds: int) -> dict[str, float]:
    """Seconds a mention of each way, ratios between neighbours, tokens a second, and how far the ways agree.

    Args:
        gemel: Opened for scoring; its data are `MadeUpMentions` with one mention more than the turns need.
        num_mentions: Mentions a turn.
        batch_size: Prompts at once.
        rounds: Turns.
    """
    published = Published(gemel)
    ways: dict[str, Way] = {
        "batched": lambda rows: _rank(gemel, rows, batch_size),
        "published": lambda rows: [published.write(row) for row in rows],
        "single": lambda rows: _rank(gemel, rows, 1),
        "once": lambda rows: [published.write_once(row) for row in rows],
    }
    for way in ways.values():
        way([rounds * num_mentions])  # warms up
    taken: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[Names]] = {name: [] for name in ways}
    results: dict[str, float] = {}
    for start in range(0, rounds * num_mentions, num_mentions):
        rows = list(range(start, start + num_mentions))
        for name, way in ways.items():
            names, taken_here, peak = _turn(way, rows, gemel.device)
            taken[name].append(taken_here)
            found[name] += names
            if peak:  # pragma: needs a GPU
                results[f"{name}_peak_gb"] = max(peak, results.get(f"{name}_peak_gb", 0))
    prompts = [prompt.length(gemel.prefix_length) for prompt in gemel.prompts.of(np.arange(rounds * num_mentions))]
    written = [sum(published.num_tokens[row] for row, _ in names) for names in found["published"]]
    results |= {"prompt_tokens": float(np.mean(prompts)), "new_tokens": float(np.mean(written))}
    for name, times in taken.items():
        results[f"{name}_seconds"] = median(times) / num_mentions
        tokens = results["prompt_tokens"] + results["new_tokens"]
        results[f"{name}_tokens_a_second"] = tokens / results[f"{name}_seconds"]
        results[f"{name}_ratio"] = _ratio(taken["published"], times)
    for slow, (fast, (_, gain)) in zip(_WAYS, list(_WAYS.items())[1:], strict=False):
        results[gain] = _ratio(taken[slow], taken[fast])
    same, different, gaps = zip(*(agreement(found["published"], names) for names in found.values()), strict=True)
    return results | {"same_names": min(same), "different_names": max(different), "score_gap": max(gaps)}


def agreement(first: list[Names], second: list[Names]) -> tuple[float, float, float]:
    """How two ways agree place by place: the shares of equal names and of different ones, and the largest score gap.

    Names whose scores are nearer than `CLOSE` are neither equal nor different: a close call. A name that has no
    counterpart is different.

    Example:
        >>> agreement([[(7, -1.0), (8, -2.0)]], [[(7, -1.0), (9, -2.5)]])
        (0.5, 0.5, 0.5)
    """
    num_places = same = close = 0
    gap = 0.0
    for ours, theirs in zip(first, second, strict=True):
        num_places += max(len(ours), len(theirs))
        for (row, score), (other, beside) in zip(ours, theirs, strict=False):
            same += row == other
            close += row != other and abs(score - beside) < CLOSE
            gap = max(gap, abs(score - beside))
    return same / num_places, (num_places - same - close) / num_places, gap


def _ratio(slow: list[float], fast: list[float]) -> float:
    return median(a / b for a, b in zip(slow, fast, strict=True))


def _rank(gemel: GEMEL, rows: list[int], batch_size: int) -> list[Names]:
    gemel.batch_size = batch_size
    ranked = gemel.rank(torch.tensor(rows))
    check_room(gemel, rows)
    pairs = zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True)
    return [[pair for pair in zip(*of_mention, strict=True) if pair[0] != -1] for of_mention in pairs]


def check_room(gemel: GEMEL, rows: list[int]) -> None:
    """Raises ConfigError where a prompt was cut: the published way would overrun the model's context."""
    facts = gemel.prompts.counts(np.array(rows))
    if num_short := facts["examples_left_out"] + facts["text_cut"]:
        raise ConfigError(
            f"prompts with all their examples, in {gemel.prompts.max_tokens} tokens",
            f"{num_short} of {facts['mentions']} that are longer",
            "Lower --num_examples.",
        )


def check_agreement(results: dict[str, float]) -> None:
    """Raises DimError where two ways differ in more than close calls."""
    different, gap = results["different_names"], results["score_gap"]
    if different or gap >= MAX_GAP:
        raise DimError(
            f"the same names from all ways, with scores within {MAX_GAP}",
            f"{different:.1%} of the places with different names, scores up to {gap:.1g} apart",
            "Report this: in fp32 GEMEL and the published way agree.",
        )


def _turn(way: Way, rows: list[int], device: torch.device) -> tuple[list[Names], float, float]:
    """Names, seconds, and the most memory in use in 10^9 bytes (0 on a CPU)."""
    names: list[Names] = []
    if device.type == "cuda":  # pragma: needs a GPU
        torch.cuda.reset_peak_memory_stats(device)
    taken = seconds(lambda: names.extend(way(rows)))
    is_cuda = device.type == "cuda"
    return names, taken, torch.cuda.max_memory_allocated(device) / 1e9 if is_cuda else 0.0


def _print(results: dict[str, float], chosen: Setting, model: str, num_beams: int) -> None:
    of = results.__getitem__
    table = Table(title=f"{of('names'):,.0f} names, {model}, {chosen.precision}, {num_beams} beams", caption=_CAPTION)
    has_peak = "batched_peak_gb" in results
    columns = "", "s a mention", "tokens/s", f"ratio (CPU: ≥ {MIN_RATIO})", "gain"
    for column in (*columns, *(["peak GB"] if has_peak else [])):
        table.add_column(column, justify="right" if column else "left")
    for name, (label, gain) in _WAYS.items():
        figures = f"{of(f'{name}_seconds'):.3f}", f"{of(f'{name}_tokens_a_second'):,.0f}", f"{of(f'{name}_ratio'):.2f}"
        peak = [f"{of(f'{name}_peak_gb'):.1f}"] if has_peak else []
        table.add_row(label.format(chosen.batch_size), *figures, f"× {of(gain):.2f}" if gain else "", *peak)
    Console().print(table)
    tokens = f"{of('prompt_tokens'):.0f} tokens of a prompt with prefix vectors, {of('new_tokens'):.0f} of its names"
    same = f"same names {of('same_names'):.1%}, different {of('different_names'):.1%}"
    gap = f"the rest within {CLOSE}, all scores within {of('score_gap'):.1g}"
    Console().say(f"{tokens} · {same}, {gap}")
