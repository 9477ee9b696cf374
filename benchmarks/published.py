"""The published way to write names with GEMEL, for comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.trie import follow_nested, nested_dicts
from dim.evaluation.protocols import NUM_ANSWERS
from dim.methods.generative.beam_search import NEVER
from dim.methods.generative.choices import Offered
from dim.methods.generative.module import GEMEL
from dim.methods.generative.prompt import answer, ask
from dim.methods.generative.ways import Encoded

Names = list[tuple[int, float]]  #: KB rows with scores, best first.


class Published:
    """The published way to write names (HITsz-TMG/GEMEL at 906a221: `model.py`, `main.py`, and GENRE's trie).

    Args:
        gemel: Whose language model, mapper, examples and names it uses.

    Attributes:
        num_tokens: KB row → tokens of its name with the end token.
    """

    def __init__(self, gemel: GEMEL) -> None:
        self.gemel, self.model, self.end = gemel, gemel.language_model, gemel.language_model.end_token
        self.num_beams, self.root = gemel.decoder.num_beams, nested_dicts(gemel.tree)
        self.owners: dict[tuple[int, ...], int] = {}
        self.num_tokens: dict[int, int] = {}
        for tokens, rows in gemel.tree:
            self.owners[tuple(tokens)] = rows[0]  # made-up names are all different
            self.num_tokens[rows[0]] = len(tokens) + 1

    def assemble(self, row: int) -> tuple[Tensor, int]:
        """The input vectors [length, width] of a mention, part by part, and the last token."""
        prompts, images = self.gemel.prompts, self.gemel.data.mention_fields["image"]
        texts = []
        for example in prompts.examples[row].tolist():
            name = prompts.names[example]
            assert name is not None
            texts.append((example, answer(prompts.mentions[example], prompts.contexts[example], name)))
        texts.append((row, ask(prompts.mentions[row], prompts.contexts[row])))
        vectors = []
        for owner, text in texts:
            prefix = self.gemel.mapper(images.matrix[images.rows[owner]].to(self.gemel.device)[None])[0]
            tokens = torch.tensor(self.model.tokenize([text])[0], device=self.gemel.device)
            embedded = self.model.embed(tokens)
            vectors += [prefix.to(embedded.dtype), embedded]
        return torch.cat(vectors), int(tokens[-1])

    def write(self, row: int) -> Names:
        """The names of a mention, as published."""
        vectors = self.assemble(row)[0][None]
        found: Any = self.model.model.generate(  # type: ignore[operator]
            inputs_embeds=vectors,
            attention_mask=torch.ones(vectors.shape[:2], dtype=torch.long, device=vectors.device),
            num_beams=self.num_beams,
            num_return_sequences=self.num_beams,  # one as published: the others are there to be compared
            max_new_tokens=self.gemel.decoder.max_new_tokens,
            prefix_allowed_tokens_fn=lambda _, written: self._follow(written),
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            eos_token_id=self.end,
            pad_token_id=self.end,
        )
        names = []
        for tokens, score in zip(found.sequences.tolist(), found.sequences_scores.tolist(), strict=True):
            if self.end in tokens and score > NEVER:
                names.append((self.owners[tuple(tokens[: tokens.index(self.end)])], score))
        return names[:NUM_ANSWERS]

    def write_once(self, row: int) -> Names:
        """The names of a mention, with its prompt encoded once, all else as published."""
        vectors, last = self.assemble(row)
        mask = torch.ones(1, len(vectors), dtype=torch.long, device=vectors.device)
        encoded = Encoded(vectors[None], mask, torch.tensor([last], device=vectors.device))
        (names,) = self.gemel.decoder.write(
            self.model, encoded, _Dicts(self._follow, self.gemel.decoder.max_new_tokens)
        )
        return [(self.owners[name.tokens], name.score) for name in names][:NUM_ANSWERS]

    def _follow(self, written: Tensor) -> list[int]:
        # Transformers refuses an empty list, which a beam without hope would get.
        return follow_nested(written.tolist(), self.root) or [self.end]


class _Dicts:
    """What nested dicts allow, each beam's from the root on; a beam's place is what it has written.

    Args:
        follow: What may follow on tokens.
        longest: Tokens that are written at most.
    """

    def __init__(self, follow: Callable[[Tensor], list[int]], longest: int) -> None:
        self.follow, self.longest = follow, longest

    def begin(self, count: int, device: torch.device) -> Tensor:
        """Nothing is written: -1 [count, longest]."""
        return torch.full((count, self.longest), -1, device=device)

    def after(self, places: Tensor, logits: Tensor) -> Offered:
        """What the dicts allow."""
        depth = int((places[0] >= 0).sum())
        allowed = [torch.tensor(self.follow(place[:depth]), device=places.device) for place in places]
        tokens = pad_sequence(allowed, batch_first=True, padding_value=-1)
        nexts = places[:, None].repeat(1, tokens.shape[1], 1)
        nexts[:, :, depth] = tokens
        likelihoods = logits.float().log_softmax(-1).gather(1, tokens.clamp_min(0))
        return Offered(tokens.clamp_min(0), likelihoods.masked_fill(tokens < 0, -torch.inf), nexts)
