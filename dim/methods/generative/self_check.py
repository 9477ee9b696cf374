"""What a language model is asked before it is used: whether its fast answers are those of a plain forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dim.core.excerpts import first_line
from dim.core.shortages import is_memory
from dim.display.lines import warn
from dim.encoders.device import Precision
from dim.errors import ConfigError
from dim.methods.generative.choices import OfNames
from dim.methods.generative.decoding import Decoder
from dim.methods.generative.language_model import LanguageModel
from dim.methods.generative.passes import trained_logits
from dim.methods.generative.ways import WAYS, Encoded, Way

NUM_BEAMS = 4
#: Of the two prompts: the padding of the shorter one is wider than a convolution of hybrid models. Longer ones hide
#: more: with 20 tokens Zamba2 and ProphetNet pass, whose scores are off by 0.004 and 0.008 elsewhere.
LENGTHS = (12, 5)
#: The most by which a name's score may differ from that of a plain forward pass, in nats a token: in fp32 always, in
#: half precision and quantized whatever the model's own rounding makes (`Trial.rounding`).
MOST: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.1, "bf16": 0.3}
MOST_QUANTIZED = 0.3
#: The share of a number that moves it to its neighbour.
STEP: dict[Precision, float] = {"fp32": 2.0**-24, "fp16": 2.0**-11, "bf16": 2.0**-8}
STEP_QUANTIZED = 2.0**-8  #: Of activations in 8 bits; weights of 4 bits are numbers of more when they are used.
NUM_MOVED = 4  #: Draws of the rounding.
#: Times the largest gap that rounding made in these draws: right scores of the families in
#: docs/reference/language_models.md were off by at most 0.6 of it.
MARGIN = 1.5
Name = tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """What the self-check found.

    Attributes:
        way: How the model is used.
        most: By how much a score may differ from that of a plain forward pass, in nats a token.
        faster: The faster ways that were tried, and what was wrong with each.
    """

    way: Way
    most: float
    faster: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "verdict": "exact" if self.way.is_fast else "exact but slow",
            "prompts": str(self.way),
            "scores_within": self.most,
        }


def check_model(model: LanguageModel) -> Verdict:
    """Settles `model.way`: the fastest way in which the scores of names are those of a plain forward pass.

    Two prompts of different lengths, each with a vector that is no token's, and a few names: written by a beam search
    of four beams, scored as given, and read as in training, beside a plain pass (no cache, no padding, a prompt alone).
    It takes about as long as ten short prompts. A slow verdict is said on stderr.

    Raises:
        ConfigError: The model cannot be used.
    """
    trial = _tried(lambda: Trial(model))
    if isinstance(trial, str):
        raise _refused(model, f"its tokens have no input vectors: {trial}")
    # Not in inference mode: what a model keeps of this pass is used in training.
    with torch.no_grad():
        trial.check_vectors()
        expected = trial.plain(trial.prompts())
        faster: list[str] = []
        if not (has_cache := model.takes(model.cache_name)):
            faster.append("it has no cache")
        for way in (way for way in WAYS if has_cache or not way.has_cache):
            model.way = way
            apart = _tried(lambda: trial.apart(expected))
            if isinstance(apart, float) and apart <= (most := trial.tolerance(apart, lambda: trial.rounding(expected))):
                break
            wrong = f"scores differ by {apart:.2g}" if isinstance(apart, float) else apart
            faster.append(f"{way}: {wrong}")
        else:
            raise _refused(
                model, f"scores are none of a plain pass: {'; '.join(faster)}. Does it read what stands behind a token?"
            )
    if not way.is_fast:
        warn(f"{_named(model)} answers exactly, but slowly: prompts go {way} ({'; '.join(faster)})")
    return Verdict(way, most, tuple(faster))


def _named(model: LanguageModel) -> str:
    """The model in messages: its type and its place."""
    return f"the language model at {model.path} ({model.config.model_type})"


class Trial:
    """Two prompts, a few names, and what a model says of them."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        is_whole = model.quantization == "none"
        self.most = MOST[model.precision] if is_whole else MOST_QUANTIZED
        self.step = STEP[model.precision] if is_whole else STEP_QUANTIZED
        self._rounding: float | None = None
        rng, special = np.random.default_rng(0), {*model.tokenizer.all_special_ids, model.end_token}
        known = [token for token in range(min(model.vocab_size, model.num_embeddings)) if token not in special]
        longest = max(2, min(LENGTHS[0], model.context - 3))
        self.device = model.device
        self.tokens = torch.from_numpy(rng.choice(known, (2, longest))).to(self.device)
        self.lengths = longest, max(2, longest - LENGTHS[0] + LENGTHS[1])
        a, b, c, d = (int(token) for token in rng.choice(known, 4, replace=False))
        # The second tokens of four beams hang on two of them: what a beam has read must move with it.
        self.written: list[Name] = [(a, c), (a, d), (b, c), (b, d)]
        self.given: list[Name] = [(a, d), (b,)]

    def check_vectors(self) -> None:
        """Raises ConfigError where a model wants more than input vectors, or reads a token's vector as another."""
        model, tokens = self.model, self.tokens[:1]
        by_ids = _tried(lambda: self._plain_logits(input_ids=tokens))
        if isinstance(by_ids, str):
            raise _refused(model, f"it cannot read a text: {by_ids}")
        model.scale = 1.0
        apart = self._misread(by_ids)
        if apart and (scale := model.scale_of_ids) != 1:  # Falcon-H1 and MVP scale vectors of ids alone
            model.scale = scale
            apart = self._misread(by_ids)
        if apart:
            raise _refused(
                model,
                "it reads the ids of tokens beside their vectors: by ids, and by these ids' vectors, the likelihoods "
                f"differ by {apart:.2g}",
            )

    def _misread(self, by_ids: Tensor) -> float:
        """By how much likelihoods behind tokens' vectors are off those behind their ids; 0 for no more than allowed.

        Raises:
            ConfigError: The model reads no vectors.
        """
        vectors = self.model.embed(self.tokens[:1])
        by_vectors = _tried(lambda: self._plain_logits(inputs_embeds=vectors))
        if isinstance(by_vectors, str):
            raise _refused(self.model, f"it cannot read input vectors (inputs_embeds): {by_vectors}")
        rounding = (_apart(self._plain_logits(inputs_embeds=moved), by_vectors) for moved in self._moved(vectors))
        apart = _apart(by_ids, by_vectors)
        return 0.0 if apart <= self.tolerance(apart, lambda: max(rounding)) else apart

    def plain(self, prompts: Encoded) -> list[dict[Name, float]]:
        """The score of each name behind each prompt, by a forward pass of this prompt alone.

        Raises:
            ConfigError: The model cannot read such a prompt.
        """
        found: Any = _tried(lambda: [self._plain_scores(one) for one in prompts.each()])
        if isinstance(found, str):
            raise _refused(self.model, f"it cannot read a vector that is no token's, such as an image's: {found}")
        if not np.isfinite([score for of_prompt in found for score in of_prompt.values()]).all():
            raise _refused(self.model, "its likelihoods are not finite numbers")
        return list(found)

    def tolerance(self, apart: float, rounding: Callable[[], float]) -> float:
        """The most by which a right score may be off, in nats a token.

        Args:
            apart: By how much one is off: where that is next to nothing, or too much in any precision, it is all the
                same what the rounding makes.
            rounding: Measures that.
        """
        least = MOST["fp32"]
        if apart <= least or not apart <= self.most:
            return least if apart <= least else self.most
        return min(self.most, max(least, MARGIN * rounding()))

    def rounding(self, expected: list[dict[Name, float]]) -> float:
        """The largest gap between a plain pass and those whose input vectors are moved by a step, up or down at random.

        Everything behind these vectors is rounded anew then, as it is where the same is computed in another way.
        """
        if self._rounding is None:
            prompts, gaps = self.prompts(), []
            for vectors in self._moved(prompts.vectors):
                moved = self.plain(Encoded(vectors, prompts.mask, prompts.last))
                pairs = zip(expected, moved, strict=True)
                gaps += [abs(score - other[name]) for one, other in pairs for name, score in one.items()]
            self._rounding = max(gaps)
        return self._rounding

    def apart(self, expected: list[dict[Name, float]]) -> float:
        """The most by which a score differs from what is expected, with `model.way` as it is; inf where names lack."""
        prompts, decoder = self.prompts(), Decoder(NUM_BEAMS, max_new_tokens=3, early_stopping="never")
        choices = OfNames.few(self.written, self.model.end_token, self.device)
        written = decoder.write(self.model, prompts, choices)
        scored = decoder.score(self.model, prompts, [self.given] * 2, 4)
        trained = self._trained_scores(prompts)
        gaps = []
        for place, of_prompt in enumerate(expected):
            found = {name.tokens: name.score for name in written[place]}
            if set(found) != set(self.written):
                return float("inf")
            gaps += [abs(score - of_prompt[name]) for name, score in found.items()]
            gaps += [abs(score - of_prompt[name]) for name, score in zip(self.given, scored[place], strict=True)]
            gaps.append(abs(trained[place] - of_prompt[self.given[place]]))
        return float(max(gaps)) if np.isfinite(gaps).all() else float("inf")

    def prompts(self) -> Encoded:
        """Both, padded on the left; the second position of each is a vector between those of two tokens."""
        vectors = self.model.embed(self.tokens).clone()
        mask = torch.zeros_like(self.tokens)
        for row, length in enumerate(self.lengths):
            mask[row, -length:] = 1
            vectors[row, -length + 1] = (vectors[row, 0] + vectors[row, -1]) / 2
        return Encoded(vectors, mask, self.tokens[:, -1])

    def _moved(self, vectors: Tensor) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(NUM_MOVED):
            up_or_down = torch.randint(0, 2, vectors.shape, generator=generator).to(vectors.device) * 2 - 1
            yield (vectors.float() * (1 + up_or_down * self.step)).to(vectors.dtype)

    def _plain_scores(self, prompt: Encoded) -> dict[Name, float]:
        scores: dict[Name, float] = {}
        for names in (self.written, self.given[1:]):
            tokens = torch.tensor(names, device=self.device)
            vectors = torch.cat([prompt.vectors.expand(len(names), -1, -1), self.model.embed(tokens)], 1)
            logits = self._plain_logits(len(names[0]) + 1, inputs_embeds=vectors)
            scores |= zip(names, _means(logits, names, self.model.end_token), strict=True)
        return scores

    def _trained_scores(self, prompts: Encoded) -> list[float]:
        """Of a name a prompt, as training has it: both in one batch."""
        end, found = self.model.end_token, []
        rows, masks = [], []
        for one, name in zip(prompts.each(), self.given, strict=True):
            answer = self.model.embed(torch.tensor([name], device=self.device))
            vectors = torch.cat([one.vectors, answer], 1)[0]
            missing = prompts.mask.shape[1] + 2 - len(vectors)
            rows.append(torch.nn.functional.pad(vectors, (0, 0, missing, 0)))
            masks.append(torch.arange(prompts.mask.shape[1] + 2, device=self.device) >= missing)
        both = Encoded(torch.stack(rows), torch.stack(masks).long(), prompts.last)
        logits = trained_logits(self.model, both, 3)
        for place, name in enumerate(self.given):
            found += _means(logits[place : place + 1, -len(name) - 1 :], [name], end)
        return found

    def _plain_logits(self, num_logits: int = 1, **inputs: Tensor) -> Tensor:
        """The last logits of a plain pass, to which nothing is told."""
        options = {"logits_to_keep": num_logits, "use_cache": False}
        known = {name: value for name, value in options.items() if self.model.takes(name)}
        logits: Tensor = self.model.model(**inputs, **known).logits[:, -num_logits:]
        return logits


def _means(logits: Tensor, names: Sequence[Name], end: int) -> list[float]:
    """The mean log-likelihood of the tokens of each name and its end, of logits [names, length + 1, vocabulary]."""
    wanted = torch.tensor([[*name, end] for name in names], device=logits.device)
    found: list[float] = logits.float().log_softmax(-1).gather(2, wanted[:, :, None])[:, :, 0].mean(1).tolist()
    return found


def _apart(one: Tensor, other: Tensor) -> float:
    """The most by which the likelihoods of likely tokens differ, in nats."""
    logs, others = one.float().log_softmax(-1), other.float().log_softmax(-1)
    return float((logs - others).abs().masked_fill(logs < logs.amax(-1, keepdim=True) - 5, 0).max())


def _tried(make: Callable[[], Any]) -> Any:
    """What it gives, or what went wrong: a model that does not fit raises whatever it happens to."""
    try:
        return make()
    except ConfigError:
        raise
    except Exception as error:
        if is_memory(error):
            raise
        return f"{type(error).__name__}: {first_line(error)}"


def _refused(model: LanguageModel, why: str) -> ConfigError:
    return ConfigError(
        f"a causal language model that takes input vectors, at {model.path}",
        f"{model.config.model_type}: {why}",
        "Use one of those that docs/reference/language_models.md lists, such as Llama, Qwen 3, Gemma 3, OPT or GPT-2.",
    )
