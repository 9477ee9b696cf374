"""`dim bench trie`: the tree of names against nested dicts, and what going down it takes of the time of decoding."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from rich.table import Table
from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessor, PrefixConstrainedLogitsProcessor

from benchmarks.clock import say_measured, seconds
from benchmarks.made_up_names import END, made_up_names, made_up_tokenizer
from dim.display.terminal import Console
from dim.errors import DimError
from dim.methods.generative.beam_search import Search
from dim.methods.generative.choices import Offered, OfNames
from dim.methods.generative.name_tree import NameTree

MAX_BYTES = 20  # a name: the goal
MAX_SHARE = 0.05  # of the time of decoding: the goal
MAX_NEW_TOKENS = 24
_SHARED = 50  # every so many names belong to two entities
Nested = dict[int, "Nested"]

# In a process of its own: the memory is that of the dicts and the numbers in them alone.
_MEASURE = """
import json, resource, sys, time
from pathlib import Path
from dim.methods.generative.name_tree import NameTree

def memory():
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS"))

tree = NameTree.load(Path(sys.argv[1]))
for _ in tree:  # what listing takes is not counted
    pass
before, start = memory(), time.perf_counter()
kept = nested_dicts(tree)
print(json.dumps({"seconds": time.perf_counter() - start, "bytes": memory() - before}))
"""


def bench_trie(
    num_names: int = 1_000_000,
    vocab_size: int = 50_257,
    num_words: int = 80_000,
    batch_size: int = 8,
    num_beams: int = 5,
    prompt_length: int = 64,
    rounds: int = 5,
    num_layers: int = 12,
    width: int = 768,
    seed: int = 0,
) -> dict[str, float]:
    """Measures the tree of made-up names in the beam search of a random GPT-2, nested dicts beside it.

    The dicts are searched from the root for each beam and step, through Transformers' `generate` and its
    `prefix_allowed_tokens_fn`, as is published (GENRE, GEMEL). Decoding begins when the prompts are encoded. Both take
    turns on the same prompts.

    Args:
        num_names: Different names of three parts; every fiftieth belongs to two entities.
        vocab_size: Tokens of the BPE tokenizer that is trained here.
        num_words: Different surnames in the text that it is trained on; the names have 250,000.
        batch_size: Prompts at a time.
        num_beams: Beams a prompt.
        prompt_length: Random tokens of each prompt.
        rounds: Batches that are decoded.
        num_layers: Of the language model; the defaults are those of GPT-2 (125M parameters).
        width: Of the language model.
        seed: Of names, prompts and weights.

    Returns:
        What the table shows.
    """
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as folder, Console(stderr=True).status("tokenizer") as status:
        tokenizer = made_up_tokenizer(vocab_size, num_words, rng)
        names = made_up_names(num_names, rng)
        status.update("tree of names")
        tree, results = _tree(names, tokenizer, vocab_size, Path(folder) / "tree")
        status.update("nested dicts")
        nested = _measure_nested(Path(folder) / "tree")
        results |= {"dict_bytes_a_name": nested["bytes"] / len(tree), "dict_seconds": nested["seconds"]}
        status.update("decoding")
        torch.manual_seed(seed)
        sizes = {"n_embd": width, "n_layer": num_layers, "n_head": max(1, width // 64)}
        model = GPT2LMHeadModel(GPT2Config(vocab_size=vocab_size, bos_token_id=0, eos_token_id=0, **sizes)).eval()
        results |= _decode(model, tree, torch.randint(1, vocab_size, (rounds, batch_size, prompt_length)), num_beams)
    results["tree_mb"] = (tree.nbytes + sum(graph.nbytes for graph in tree.choices(model.device).graphs)) / 1e6
    title = f"{len(tree):,} names, {results['tokens_a_name']:.2f} tokens a name, vocabulary of {vocab_size:,}"
    _print(title, f"{model.num_parameters() / 1e6:.0f}M, batch {batch_size}, {num_beams} beams", results)
    print_facts = f"made-up names, byte-level BPE trained on {num_words:,} of 250,000 made-up words, {rounds} batches"
    say_measured(print_facts)
    return results


def nested_dicts(tree: NameTree) -> Nested:
    """The tree as dicts of dicts, the end token a key like others."""
    root: Nested = {}
    for tokens, _ in tree:
        node = root
        for token in [*tokens, tree.end_token]:
            node = node.setdefault(token, {})
    return root


def _measure_nested(folder: Path) -> dict[str, float]:
    """Bytes and seconds of the nested dicts of a saved tree."""
    # The function's source, so that the process need not import all that this file does.
    code = "from __future__ import annotations\n" + inspect.getsource(nested_dicts) + _MEASURE
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise DimError("a process that builds nested dicts", f"exit {done.returncode}", done.stderr)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _tree(names: list[str], tokenizer: Any, vocab_size: int, folder: Path) -> tuple[NameTree, dict[str, float]]:
    """The tree, built, saved and loaded, and what that took."""
    in_tokenizer = 0.0

    def tokenize(texts: list[str]) -> list[list[int]]:
        nonlocal in_tokenizer
        start = time.perf_counter()
        tokens = [found.ids for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        in_tokenizer += time.perf_counter() - start
        return tokens

    shared = names[::_SHARED]
    rows = np.arange(len(names) + len(shared))
    start = time.perf_counter()
    built = NameTree.build(names + shared, rows, tokenize, tokenizer.token_to_id(END), vocab_size, show_progress=False)
    build = time.perf_counter() - start
    save = seconds(lambda: built.save(folder))
    start = time.perf_counter()
    tree = NameTree.load(folder)
    loaded = time.perf_counter()
    tree.choices(torch.device("cpu"))
    results = {
        "graph_seconds": time.perf_counter() - loaded,
        "load_seconds": loaded - start,
        "save_seconds": save,
        "tokenize_seconds": in_tokenizer,
        "sort_seconds": build - in_tokenizer,
        "bytes_a_name": tree.nbytes / len(tree),
        "tokens_a_name": float(np.mean([len(tokens) for tokens, _ in tree])),
    }
    return tree, results


class _WatchedDicts(LogitsProcessor):  # type: ignore[misc]  # the library is untyped
    """Transformers' mask with its clock: seconds inside it, its calls, and when the first one began."""

    def __init__(self, inner: LogitsProcessor) -> None:
        self.inner, self.seconds, self.num_calls, self.began = inner, 0.0, 0, 0.0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        start = time.perf_counter()
        masked: torch.FloatTensor = self.inner(input_ids, scores)
        self.began = self.began or start
        self.seconds += time.perf_counter() - start
        self.num_calls += 1
        return masked


class _WatchedNames(OfNames):
    """The tree's choices with their clocks: of all, log-likelihoods too, and of what is the mask of the other way."""

    def __init__(self, tree: NameTree, device: torch.device) -> None:
        of_tree = tree.choices(device)
        super().__init__(of_tree.graphs, of_tree.num_tokens)
        self.seconds, self.in_tree, self.num_calls = 0.0, 0.0, 0

    def after(self, places: torch.Tensor, logits: torch.Tensor) -> Offered:
        start = time.perf_counter()
        offered = super().after(places, logits)
        self.seconds += time.perf_counter() - start
        self.num_calls += 1
        return offered

    def _children(self, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        start = time.perf_counter()
        children = super()._children(places)
        self.in_tree += time.perf_counter() - start
        return children


@torch.inference_mode()
def _by_tree(model: Any, tree: NameTree, prompts: torch.Tensor, num_beams: int) -> tuple[list[list[int]], list[float]]:
    """The best names, and seconds of what may follow, steps, seconds of decoding, of the model and the tree in it."""
    choices, of_model = _WatchedNames(tree, prompts.device), 0.0
    cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    encoded = model(prompts, use_cache=True, logits_to_keep=1)
    past = encoded[cache_name]
    past.batch_repeat_interleave(num_beams)

    def follow(tokens: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        nonlocal of_model
        begun = time.perf_counter()
        past.batch_select_indices(rows)
        logits: torch.Tensor = model(tokens[:, None], use_cache=True, **{cache_name: past}).logits[:, -1]
        of_model += time.perf_counter() - begun
        return logits

    start = time.perf_counter()
    search = Search(tree.end_token, MAX_NEW_TOKENS, choices)
    texts, _ = search.beams(encoded.logits[:, -1], follow, num_beams, 1.0, False)
    return texts[:, 0].tolist(), [
        *(choices.seconds, choices.num_calls, time.perf_counter() - start, of_model, choices.in_tree)
    ]


def _by_dicts(
    model: Any, tree: NameTree, nested: Nested, prompts: torch.Tensor, num_beams: int
) -> tuple[list[list[int]], list[float]]:
    """The best names, and seconds in the dicts, steps and seconds of decoding."""
    end, prompt_length = tree.end_token, prompts.shape[1]

    def allowed(_: int, written: torch.Tensor) -> list[int]:
        return follow_nested(written[prompt_length:].tolist(), nested) or [end]

    watch = _WatchedDicts(PrefixConstrainedLogitsProcessor(allowed, num_beams))
    found = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        logits_processor=[watch],
        eos_token_id=end,
        pad_token_id=end,
        num_beams=num_beams,
        max_new_tokens=MAX_NEW_TOKENS,
        do_sample=False,
    )
    return found[:, prompt_length:].tolist(), [watch.seconds, watch.num_calls, time.perf_counter() - watch.began]


def _decode(model: Any, tree: NameTree, batches: torch.Tensor, num_beams: int) -> dict[str, float]:
    """Seconds of both ways, and of the decoding around them."""
    nested, end, num_same = nested_dicts(tree), tree.end_token, 0
    ours, theirs = np.zeros(5), np.zeros(3)
    for prompts in batches:
        names, taken = _by_tree(model, tree, prompts, num_beams)
        others, beside = _by_dicts(model, tree, nested, prompts, num_beams)
        ours, theirs = ours + taken, theirs + beside
        num_same += sum(_ended(a, end) == _ended(b, end) for a, b in zip(names, others, strict=True))
    results = {"same_answers": num_same / batches[..., 0].numel(), "search_share": 1 - ours[3] / ours[2]}
    results["in_tree_ms_a_step"] = 1000 * ours[4] / ours[1]
    for kind, (inside, steps, decoding) in {"tree": ours[:3], "dict": theirs}.items():
        results |= {f"{kind}_steps": steps, f"{kind}_ms_a_step": 1000 * inside / steps}
        results |= {f"{kind}_share": inside / decoding, f"{kind}_decoding_ms_a_step": 1000 * decoding / steps}
    return results


def _ended(tokens: list[int], end: int) -> list[int]:
    """The tokens before the first end token."""
    return tokens[: tokens.index(end)] if end in tokens else tokens


def follow_nested(prefix: list[int], node: Nested) -> list[int]:
    """What follows on a prefix, from the root on, as published."""
    if not prefix:
        return list(node)
    return follow_nested(prefix[1:], node[prefix[0]]) if prefix[0] in node else []


def _print(title: str, decoding: str, results: dict[str, float]) -> None:
    table = Table(title=title)
    for column in ("", "tree of names", "goal", "nested dicts"):
        table.add_column(column, justify="left" if column == "" else "right")
    of = results.__getitem__
    bytes_a_name = f"{of('bytes_a_name'):.1f}", f"≤ {MAX_BYTES}", f"{of('dict_bytes_a_name'):,.0f} (no entities)"
    table.add_row("bytes a name, with its entities", *bytes_a_name)
    table.add_row("MB in all, with the nodes of a search", f"{of('tree_mb'):.1f}", "", "")
    table.add_row("tokenise", f"{of('tokenize_seconds'):.1f} s", "", "")
    table.add_row("sort", f"{of('sort_seconds'):.1f} s", "", f"{of('dict_seconds'):.1f} s")
    table.add_row("save", f"{of('save_seconds'):.2f} s", "", "")
    table.add_row("load, with check of the hash", f"{of('load_seconds'):.2f} s", "", "")
    table.add_row("nodes, before the first search", f"{of('graph_seconds'):.2f} s", "", "")
    table.add_section()
    table.add_row(f"steps ({decoding})", f"{of('tree_steps'):.0f}", "", f"{of('dict_steps'):.0f}")
    table.add_row("what may follow, a step", f"{of('in_tree_ms_a_step'):.2f} ms", "", f"{of('dict_ms_a_step'):.2f} ms")
    table.add_row("and its log-likelihoods", f"{of('tree_ms_a_step'):.2f} ms", "", "")
    share = f"{of('tree_share'):.2%}", f"≤ {MAX_SHARE:.0%}", f"{of('dict_share'):.2%}"
    table.add_row("its share of decoding", *share)
    table.add_row("share of all that is not the model", f"{of('search_share'):.2%}", "", "")
    whole = f"{of('tree_decoding_ms_a_step'):.1f} ms", "", f"{of('dict_decoding_ms_a_step'):.1f} ms"
    table.add_row("decoding, a step", *whole)
    table.add_row("same answers", f"{of('same_answers'):.0%}", "", "")
    Console().print(table)
