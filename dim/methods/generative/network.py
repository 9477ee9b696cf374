"""GEMEL as it answers: a frozen language model, a feature mapper, names under a prefix tree; `module` trains it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal, NoReturn, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dim.core.arrays import Rows
from dim.core.distributed import gathered, process_index
from dim.core.typed import shown
from dim.data.dataset import NIL
from dim.display.lines import say, warn
from dim.errors import ConfigError
from dim.evaluation.protocols import NIL_ROW, Ranked
from dim.inference.data import LinkingData, Needs
from dim.inference.method import Method
from dim.methods.generative.answers import Answers, Ordering
from dim.methods.generative.choices import AnyToken, NextTokens
from dim.methods.generative.decoding import Decoder, Written
from dim.methods.generative.examples import Examples, NoExamples, SimilarExamples
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.likelihoods import Likelihoods
from dim.methods.generative.mapper import FeatureMapper
from dim.methods.generative.name_end import NUM_ASKED, end_named, likelier_end, name_facts, never_ended
from dim.methods.generative.name_tree import NameTree
from dim.methods.generative.names import name_pairs, open_tree, rows_of_names
from dim.methods.generative.prompt import COUNTED, Prompt, Prompts, pad_left
from dim.methods.generative.self_check import Verdict, check_model
from dim.methods.generative.tokenizer import Bos, End, NamePlace, NameRules
from dim.methods.generative.ways import Encoded
from dim.training.tie_break import Popularity, Scorer

#: More than anybody asks for: a folder that says more would fill the memory, or compute without an end.
MOST_BEAMS, MOST_TOKENS, MOST_PENALTY = 1_000, 4_096, 10
MANY_NAMES = 1_000  #: From so many on, scoring the names of all entities takes long enough to be told.


class GEMELNetwork(Method):
    """GEMEL (arXiv 2306.12725; released code HITsz-TMG/GEMEL at 906a221): a language model writes the entity's name.

    Defaults are the release's. Differences: a mention without an image has no prefix vectors, an in-context example
    never shares the mention's image, and the mapper is trained in fp32.

    Args:
        language_model: The frozen model.
        examples: Training mentions that stand before the question; `SimilarExamples` unless told otherwise.
        prefix_length: Vectors that an image becomes.
        constrained: Whether only names of the KB can be written.
        aliases: Whether an entity's aliases are answers too.
        nil: Whether NIL is an answer, and trained on.
        tie_break: What orders entities of one name; `Popularity` unless told otherwise, then the id.
        num_beams: Beams, and answers a mention at most.
        max_new_tokens: The longest name, its end token included.
        length_penalty: The power of the length that log-likelihoods are divided by.
        early_stopping: When the beam search ends, as Transformers has it: false (as released), true, or `never`.
        max_prompt_tokens: The longest prompt, prefix vectors included; None: what the model's context leaves.
        batch_size: Prompts that are answered at once.
        score_batch_size: Names that are scored at once, under a protocol of candidates.
        bos: Whether a prompt begins with the tokenizer's start token: `auto`, where the tokenizer puts one before texts
            (LLaMA, Gemma, DeepSeek; OPT, of which the release takes it away).
        end: What ends a name: `eos`, the tokenizer's end token; `line`, a line's end, as in the examples; `auto`, which
            of them the language model finds likelier behind the golds' names of 32 mentions of tune, without images.
        settled_end: What `auto` has chosen: `fit` writes it into the run's config.yaml, so that all that opens the run
            ends names as it was fitted.
        name_tokens: Names have the tokens that they have `behind_prompt`, or, as released, `alone`.
        train_mapper: Whether `fit` trains; False evaluates a mapper with random weights, or none without images.
        learning_rate: Peak learning rate of AdamW.
        epsilon: Of AdamW.
        weight_decay: Of the mapper's weights; its bias has none.
        warmup_share: Share of the steps in which the rate rises; then it falls linearly.
        schedule: `corrected` counts optimizer steps. `released` counts micro-batches as the release does, so that with
            16 accumulated batches the rate never passes 0.625 of its peak and never falls.
        seed: Of the initial weights (the CLI passes `seed_everything`).
    """

    scores_all, scores_given = False, True
    incidental = Method.incidental | {"language_model", "batch_size", "score_batch_size", "settled_end"}
    training_only = Method.training_only | {"settled_end"}  # a folder says what ends a name itself
    later: ClassVar[dict[str, Any]] = {"bos": "never", "end": "eos", "name_tokens": "alone"}

    def __init__(
        self,
        language_model: LanguageModel,
        examples: Examples | None = None,
        prefix_length: int = 4,
        constrained: bool = True,
        aliases: bool = True,
        nil: bool = False,
        tie_break: Scorer | None = None,
        num_beams: int = 5,
        max_new_tokens: int = 32,
        length_penalty: float = 1.0,
        early_stopping: bool | Literal["never"] = False,
        max_prompt_tokens: int | None = None,
        batch_size: int = 8,
        score_batch_size: int = 128,
        bos: Bos = "auto",
        end: End | Literal["auto"] = "eos",
        settled_end: End | None = None,
        name_tokens: NamePlace = "behind_prompt",
        train_mapper: bool = True,
        learning_rate: float = 1e-6,
        epsilon: float = 1e-6,
        weight_decay: float = 0.01,
        warmup_share: float = 0.1,
        schedule: Literal["corrected", "released"] = "corrected",
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, weight_decay, schedule="linear", seed=seed)
        self.language_model, self.examples = language_model, examples or SimilarExamples()
        self.prefix_length, self.constrained, self.aliases, self.nil = prefix_length, constrained, aliases, nil
        self.tie_break = tie_break or Popularity()
        self.decoder = Decoder(num_beams, max_new_tokens, length_penalty, early_stopping)
        self.max_prompt_tokens = max_prompt_tokens
        self.batch_size, self.score_batch_size = batch_size, score_batch_size
        self.bos, self.end, self.settled_end, self.name_tokens = bos, end, settled_end, name_tokens
        self.is_trained = train_mapper
        self.epsilon, self.warmup_share, self.counted = epsilon, warmup_share, schedule
        self.verdict: Verdict | None = None  #: Of the language model's self-check.
        self.mapper: nn.Module = nn.Identity()  # built when the widths are known
        self._counts: Counter[str] = Counter()

    @property
    def needs(self) -> Needs:
        """Images, and what the examples are chosen by."""
        fields = ("image", *self.examples.fields)
        return Needs(fields, evaluation_batch=8 * self.batch_size, nil=self.nil, least_batch=1)

    @property
    def depth(self) -> int | None:
        """The number of beams where names are written."""
        return self.decoder.num_beams if self.data.protocol.is_written else None

    @property
    def answers_nil(self) -> bool:
        """As the option `nil` says."""
        return self.nil

    def check(self) -> None:
        """Raises ConfigError for numbers that are out of range."""
        decoder, most = self.decoder, MOST_PENALTY
        ranges = {
            "num_beams": (decoder.num_beams, 1, MOST_BEAMS),
            "batch_size": (self.batch_size, 1, None),
            "score_batch_size": (self.score_batch_size, 1, None),
            "prefix_length": (self.prefix_length, 1, None),
            "max_new_tokens": (decoder.max_new_tokens, 2, MOST_TOKENS),  # a token and the end
            "length_penalty": (decoder.length_penalty, -most, most),  # a length to the power of more is no number
        }
        for name, (value, low, high) in ranges.items():
            if not (low <= value and (high is None or value <= high)):
                wanted = f"at least {low}" if high is None else f"between {low} and {high:,}"
                raise ConfigError(f"{name} {wanted}", shown(value), f"Change --model.{name}.")

    def share_frozen(self, other: Self) -> None:
        """Takes over the language model and its verdict."""
        self.language_model, self.verdict = other.language_model, other.verdict

    def try_parts(self) -> None:
        """Asks the language model whether it can be used, and how. Raises ConfigError where it cannot."""
        if self.verdict is None:
            self.verdict = check_model(self.language_model)

    def build(self, data: LinkingData) -> None:
        """Loads the language model, chooses the examples, builds or opens the prefix tree, makes the mapper."""
        model, dataset, images = self.language_model, data.dataset, data.mention_fields.get("image")
        if images is None and self.is_trained:
            raise ConfigError(
                "images of mentions, which the mapper is trained on",
                "none that was encoded",
                "Name an encoder (--data.image_encoder), or ask the model as it is: --model.train_mapper false.",
            )
        self.try_parts()
        self.tie_break.open(data)
        self.ordering = Ordering(dataset.entity_index.to_numpy(), self.tie_break)
        self._names: list[str] = dataset.column("entities", "name").to_pylist()
        self._names += [NIL, ""]  # NIL_ROW counts from the end
        self._known: dict[str, list[int]] = {}
        self._say_whole_kb(data)
        self.settle_names()
        reads_train = not isinstance(self.examples, NoExamples)
        train_rows = self.datamodule.train_rows().numpy() if reads_train else np.empty(0, np.int64)
        self.prompts = self.make_prompts(
            self.datamodule.shown_mentions(),
            [self._gold_name(row) for row in data.gold.tolist()],
            self.examples.choose(data, train_rows, self.datamodule.cache_dir),
            np.zeros(len(data.gold), bool) if images is None else (images.rows >= 0).cpu().numpy(),
        )
        if self.end == "auto":
            if self.settled_end is None:
                self.settled_end = self._likelier_end(data)
                self.settle_names()
            self.chosen = {"end": self.settled_end}
        if self.constrained:
            longest, cache = self.decoder.max_new_tokens, self.datamodule.cache_dir
            self.tree = open_tree(dataset, model, self.aliases, self.nil, longest, cache)
        else:
            self._rows_of_name = rows_of_names(*name_pairs(dataset, self.aliases, self.nil), model)
        if images is not None:
            self.mapper = FeatureMapper(images.width, model.width, self.prefix_length)
            self._say_share()

    def settle_names(self) -> None:
        """Tells the language model how prompts begin and names end, as far as it is known before it is asked.

        Raises:
            ConfigError: Its tokenizer has no such start, or no such end.
        """
        model = self.language_model
        end = self.settled_end or "eos" if self.end == "auto" else self.end
        model.rules = NameRules(model.starts(self.bos), end, self.name_tokens)
        _ = model.end_token

    def make_prompts(
        self, mentions: pd.DataFrame, names: Sequence[str | None], examples: Rows, has_image: NDArray[np.bool_]
    ) -> Prompts:
        """The prompts of mentions, as of `Prompts`."""
        model = self.language_model
        of_examples = None if self.name_tokens == "alone" else model.tokenize_answers
        room = self.prefix_length, self.room()
        return Prompts(mentions, names, model.tokenize, examples, has_image, *room, model.start, of_examples)

    def choices(self, tree: NameTree | None) -> NextTokens:
        """What may be written: the names of a tree, if there is one; else what breaks no line before its end."""
        if tree is not None:
            return tree.choices(self.device)
        model = self.language_model
        # With characters before it (`)` and a line's end as one token), or twice, a line's end would end no name.
        return AnyToken(torch.from_numpy(model.broken_lines) if model.rules.end == "line" else None)

    def scores_of(self, rows: Tensor) -> NoReturn:
        """Raises NotImplementedError: `rank` writes names, or scores those of candidates."""
        raise NotImplementedError("GEMEL has no scores of all entities at once")

    def scored(self, rows: Tensor, without: Sequence[Rows] | None = None) -> Likelihoods:
        """The entities whose names are written compete, and each given one has the likelihood of its name."""
        mentions = rows.cpu().numpy()
        prompts = self.prompts.of(mentions)
        return self.likelihoods(
            prompts,
            self._images_of,
            self.choices(self.tree if self.constrained else None),
            lambda place, names: self.ordering.of_names(
                int(mentions[place]), names, [self._owners(name) for name in names]
            ),
            lambda of_mention: self._tokens([self._names[row] for row in of_mention.tolist()]),
            without,
        )

    def likelihoods(
        self,
        prompts: Sequence[Prompt],
        images_of: Callable[[Rows], Tensor],
        choices: NextTokens | None,
        ranked: Callable[[int, Sequence[Written]], Answers],
        tokens: Callable[[Rows], list[list[int]]],
        without: Sequence[Rows] | None = None,
    ) -> Likelihoods:
        """Those of prompts, as of `Likelihoods`."""
        of_each = self.batches_of(prompts, range(len(prompts)))
        batches = [(of, self.encode([prompts[place] for place in of], images_of)[0]) for of in of_each]
        model, at_once = self.language_model, self.score_batch_size
        return Likelihoods(model, self.decoder, batches, choices, ranked, tokens, at_once, without)

    def batches_of(self, prompts: Sequence[Prompt], places: Iterable[int]) -> list[list[int]]:
        """Some places of prompts in batches: those of about one length share one."""
        ordered = sorted(places, key=lambda place: prompts[place].length(self.prefix_length))
        return [ordered[start : start + self.batch_size] for start in range(0, len(ordered), self.batch_size)]

    def on_scoring_start(self) -> None:
        """Brings the language model to the device."""
        self.language_model.to(self.device)
        self._counts.clear()

    def on_scoring_end(self) -> None:
        """Adds up what all processes counted; says where most answers never ended."""
        self._counts = sum(gathered(self._counts), Counter())
        if process_index() == 0 and 2 * self._counts["answered"] < self._counts["asked"]:
            never = self._counts["asked"] - self._counts["answered"]
            warn(never_ended(self.language_model, never, self._counts["asked"], self.decoder.max_new_tokens))

    def rank(self, rows: Tensor) -> Ranked:
        """Ranks the entities whose names are written, or those of the protocol by the likelihood of their names.

        No mention's answer depends on the others: prompts of about one length share a batch.
        """
        mentions = rows.cpu().numpy()
        prompts = self.prompts.of(mentions)
        self._counts.update(self.prompts.counts(mentions))
        answer = self._write if self.data.protocol.is_written else self._score
        found: dict[int, Answers] = {}
        for chosen in self.batches_of(prompts, range(len(prompts))):
            encoded, _ = self._encode([prompts[place] for place in chosen])
            found |= zip(chosen, answer(encoded, mentions[chosen]), strict=True)
            self.tell_ranked(len(chosen))
        answers = [found[place] for place in range(len(mentions))]
        return Ranked.from_lists(
            [answer.rows for answer in answers],
            [answer.scores for answer in answers],
            self.data.golds_of(torch.from_numpy(mentions)).numpy(),
            np.array([answer.probability for answer in answers], dtype=np.float64),
        )

    def describe(self) -> dict[str, Any]:
        """The tree, the policies for equal names and NIL, the share of trained weights, and what was counted."""
        answered = self._counts["answered"]
        model, verdict = self.language_model, self.verdict.facts if self.verdict is not None else {}
        return {
            "language_model": {"path": model.path, "fingerprint": model.fingerprint, **verdict},
            "examples": type(self.examples).__name__,
            "num_examples": self.examples.num_examples,
            "tree": self._tree_facts() if self.constrained else None,
            "equal_names": f"by {self.tie_break.name}, then by id",
            "is_hybrid": self.tie_break.is_model,
            "nil": "an answer" if self.nil else "never answered",
            "names": name_facts(model, self.bos, self.end),
            "trained_share": self.num_trained / (self.num_trained + model.num_parameters),
            "ended_share": answered / self._counts["asked"] if self._counts["asked"] else None,
            "kb_name_share": self._counts["kb_names"] / answered if answered else None,
            "prompts": {name: self._counts[name] for name in COUNTED},
        }

    def parts(self) -> dict[str, str]:
        """The language model, and what orders equal names."""
        return {"language_model": self.language_model.fingerprint, "tie_break": self.tie_break.fingerprint}

    def encode(
        self, prompts: list[Prompt], images_of: Callable[[Rows], Tensor], targets: list[list[int]] | None = None
    ) -> tuple[Encoded, Tensor]:
        """Input vectors with the images' prefixes in their places, and labels [b, longest target].

        Args:
            prompts: Of a batch.
            images_of: Numbers of mentions [n], as the prompts name them → their image features [n, width].
            targets: The tokens that follow each prompt.
        """
        layout = pad_left(prompts, self.prefix_length, targets)
        tokens, mask, labels, items = (
            torch.from_numpy(values).to(self.device)
            for values in (layout.tokens, layout.mask, layout.labels, layout.items)
        )
        vectors = self.language_model.embed(tokens)  # [b, length, width]
        if len(items):
            images, which = np.unique(layout.mentions, return_inverse=True)
            features = images_of(images).to(self.device)
            prefixes = self.mapper(features)[torch.from_numpy(which).to(self.device)].to(vectors.dtype)
            places = torch.from_numpy(layout.places[:, None] + np.arange(self.prefix_length)).to(self.device)
            vectors = vectors.index_put((items[:, None], places), prefixes)
        return Encoded(vectors, mask, tokens[:, -1]), labels

    def room(self) -> int:
        """The longest prompt, in tokens and prefix vectors. Raises ConfigError where names leave no room for one."""
        context, answer = self.language_model.context, self.decoder.max_new_tokens
        room = min(context - answer, self.max_prompt_tokens or context)
        if room < 1:
            raise ConfigError(
                f"a language model whose context has room beside {answer} tokens of a name",
                f"a context of {context}",
                "Lower --model.max_new_tokens, or use a model with a longer context.",
            )
        return room

    @property
    def num_trained(self) -> int:
        """How many weights the mapper has."""
        return sum(weight.numel() for weight in self.mapper.parameters())

    def _encode(self, prompts: list[Prompt], targets: list[list[int]] | None = None) -> tuple[Encoded, Tensor]:
        return self.encode(prompts, self._images_of, targets)

    def _images_of(self, mentions: Rows) -> Tensor:
        return self.data.mention_fields["image"].take(torch.from_numpy(mentions).to(self.device)).mean()[0]

    def _write(self, encoded: Encoded, mentions: Rows) -> list[Answers]:
        choices = self.choices(self.tree if self.constrained else None)
        written = self.decoder.write(self.language_model, encoded, choices)
        owners = [[self._owners(name) for name in names] for names in written]
        self._counts["asked"] += len(written)
        self._counts["answered"] += sum(map(bool, written))
        self._counts["kb_names"] += sum(bool(of_names) and len(of_names[0]) > 0 for of_names in owners)
        each = zip(mentions.tolist(), written, owners, strict=True)
        return [self.ordering.of_names(mention, names, of_names) for mention, names, of_names in each]

    def _owners(self, name: Written) -> Rows:
        if self.constrained:
            return self.tree.rows_of(name.tokens)
        return self._rows_of_name.get(self.language_model.detokenize(name.tokens), np.empty(0, np.int64))

    def _score(self, encoded: Encoded, mentions: Rows) -> list[Answers]:
        competing = [self._competing(mention) for mention in mentions.tolist()]
        names = [list(dict.fromkeys(self._names[row] for row in rows.tolist())) for rows in competing]
        tokens = [self._tokens(of_mention) for of_mention in names]
        scores = self.decoder.score(self.language_model, encoded, tokens, self.score_batch_size)
        answers = []
        for mention, rows, of_mention, values in zip(mentions.tolist(), competing, names, scores, strict=True):
            by_name = dict(zip(of_mention, values, strict=True))
            beside = np.array([by_name[self._names[row]] for row in rows.tolist()], np.float64)
            answers.append(self.ordering.of_scores(mention, rows, beside))
        return answers

    def _competing(self, mention: int) -> Rows:
        """KB rows, and NIL_ROW where it may be answered."""
        candidates = self.data.candidates
        if candidates is None:
            rows = np.arange(len(self.ordering.ids) - 2)
        else:
            rows = candidates[mention].numpy()
            rows = rows[rows >= 0]
        return np.append(rows, NIL_ROW) if self.nil else rows

    def _gold_name(self, row: int) -> str | None:
        return self._names[row] if row >= 0 else NIL if self.nil else None

    def _tokens(self, names: Sequence[str]) -> list[list[int]]:
        new = [name for name in dict.fromkeys(names) if name not in self._known]
        self._known.update(zip(new, self.language_model.tokenize_names(new), strict=True))
        return [self._known[name] for name in names]

    def _say_share(self) -> None:
        frozen = self.language_model.num_parameters
        share = self.num_trained / (self.num_trained + frozen)
        what = "trained" if self.is_trained else "random"
        say(f"mapper {self.num_trained:,} weights ({what}), language model {frozen:,} (frozen): {share:.2%} trained")

    def _say_whole_kb(self, data: LinkingData) -> None:
        num_names = len(set(self._names))
        if not data.protocol.is_written and data.candidates is None and num_names >= MANY_NAMES:
            warn(
                f"for each mention the language model scores the names of the whole KB, about {num_names:,}, "
                "which takes long; --data.protocol Generative has it write a name"
            )

    def _likelier_end(self, data: LinkingData) -> End:
        """What the language model finds likelier to end a name, behind golds of tune."""
        model, golds = self.language_model, data.gold.cpu().numpy()
        rows = np.flatnonzero((data.dataset.mentions["split"].to_numpy() == "tune") & (golds >= 0))
        lengths = np.array([len(tokens) for tokens in self._tokens([self._names[row] for row in golds[rows].tolist()])])
        rows = rows[lengths < self.decoder.max_new_tokens]  # what is longer cannot be written to its end
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), NUM_ASKED)).astype(np.int64)]
        self.to(data.gold.device)
        model.to(self.device)
        shown, no_image = self.datamodule.shown_mentions(), np.zeros(len(data.gold), bool)
        prompts = self.make_prompts(shown, self.prompts.names, self.prompts.examples, no_image)
        names = self._tokens([self._names[row] for row in golds[rows].tolist()])
        with torch.no_grad():
            asked = prompts.of(rows)
            how = self.decoder, self.batch_size
            end, gain = likelier_end(model, lambda some: self._encode(some)[0], asked, names, *how)
        if names:
            named = end_named(model, end)
            say(f"names end with {named}: likelier behind {len(names)} names of tune by {gain:.2f} nats")
        return end

    def _tree_facts(self) -> dict[str, Any]:
        tree = self.tree
        return {**tree.facts, "num_names": len(tree), "hash": tree.hash, "left_out": tree.left_out}
