"""Beam search and greedy search as Transformers has them, over any function that gives the logits of the next token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dim.methods.generative.choices import NextTokens

#: (tokens [n], the rows [n] of the call before that they continue) → the logits [n, vocabulary] of what follows.
Follow = Callable[[Tensor, Tensor], Tensor]
NO_BEAM = -1e9  #: The score of a beam that is none.
NEVER = -1e6  #: A beam with a lower score is none: `NO_BEAM` divided by a length, or with something added.
WORTH = 0.75  #: Below this share of the rows those that live go on alone: leaving rows out costs a copy of the others.


@dataclass(frozen=True)
class Search:
    """What to write after prompts.

    The figures of each prompt are its own: what another one writes, and how long, changes nothing. Nothing of a
    model's folder (`generation_config.json`) has a say.

    Args:
        end: The end token.
        max_new_tokens: Tokens of the longest text, with its end token.
        choices: What may follow on what.
    """

    end: int
    max_new_tokens: int
    choices: NextTokens

    def beams(
        self,
        first: Tensor,
        follow: Follow,
        num_beams: int,
        length_penalty: float,
        early_stopping: bool | Literal["never"],
    ) -> tuple[Tensor, Tensor]:
        """The best texts by beam search (Transformers' `_beam_search`).

        Args:
            first: [b, vocabulary], the logits behind each prompt.
            follow: Goes on; at first the rows are the beams of all prompts, b · num_beams. Beams that are none, and
                those of a prompt that can gain nothing, may be left out.
            num_beams: Beams a prompt.
            length_penalty: Of the score, log p / length ** length_penalty.
            early_stopping: As in Transformers' `generate`.

        Returns:
            Tokens [b, num_beams, max_new_tokens], filled up with the end token, and scores [b, num_beams] float32, best
            first; at most `NO_BEAM` divided by a length where there is no text.
        """
        size, device, kept = len(first), first.device, 2 * num_beams  # num_beams go on, if each of the others ends
        row_of = torch.arange(size * num_beams, device=device).view(size, num_beams)
        num_rows = size * num_beams
        running = torch.full((size, num_beams, self.max_new_tokens), self.end, device=device)
        scores = torch.full((size, num_beams), NO_BEAM, device=device)
        scores[:, 0] = 0  # the beams of a prompt are one, before the first token
        lives, logits, places = scores == 0, first, self.choices.begin(size, device)
        done, done_scores = running.clone(), torch.full_like(scores, NO_BEAM)
        is_done, can_gain = torch.zeros_like(scores, dtype=torch.bool), torch.ones_like(scores[:, :1], dtype=torch.bool)
        among_best = torch.arange(kept, device=device) < num_beams
        for step in range(self.max_new_tokens):
            offered = self.choices.after(places, logits)
            width = offered.tokens.shape[1]
            totals = scores.new_full((size, num_beams, width), -torch.inf)
            totals[lives] = offered.likelihoods + scores[lives][:, None]
            best, found = totals.flatten(1).topk(min(kept, num_beams * width))
            parents, columns = found // width, found % width
            owners = (lives.flatten().cumsum(0).view_as(lives) - 1).clamp_min(0).gather(1, parents)
            tokens = offered.tokens[owners, columns]
            texts = _taken(running, parents)
            texts[:, :, step] = tokens
            ends = ((tokens == self.end) | (step + 1 == self.max_new_tokens)) & (best > NEVER)
            # Those that ended compete with what ended before.
            ended = best / (step + 1) ** length_penalty
            is_full = is_done.all(1, keepdim=True) & (early_stopping is True)
            is_new = ends & among_best[: ends.shape[1]]
            ended = ended + NO_BEAM * (is_full.float() + (~can_gain).float() + (~is_new).float())
            every = torch.cat([done_scores, ended], 1).topk(num_beams)[1]
            done = _taken(torch.cat([done, texts], 1), every)
            done_scores = torch.cat([done_scores, ended], 1).gather(1, every)
            is_done = torch.cat([is_done, is_new], 1).gather(1, every)
            # The others go on.
            going = best + NO_BEAM * ends.float()
            chosen = going.topk(num_beams)[1]
            running, scores = _taken(texts, chosen), going.gather(1, chosen)
            length = self.max_new_tokens if early_stopping == "never" and length_penalty > 0 else step + 1
            worst = torch.where(is_done, done_scores.min(1, keepdim=True)[0], NO_BEAM)
            can_gain = can_gain & (scores[:, :1] / length**length_penalty > worst).any(1, keepdim=True)
            if not can_gain.any() or (early_stopping is True and is_done.all()):
                break
            lives = (scores > NEVER) & can_gain
            if not (num_living := int(lives.sum())):
                break
            rows = row_of.gather(1, parents.gather(1, chosen))
            if num_living > WORTH * num_rows and not (lives & (row_of < 0)).any():
                lives = row_of >= 0  # as before; a beam that is none may come from one that was left out
                rows = torch.where(rows < 0, row_of, rows)
            places = offered.places[owners.gather(1, chosen), columns.gather(1, chosen)][lives]
            rows = rows[lives]
            logits = follow(running[:, :, step][lives], rows)
            num_rows = len(rows)
            row_of = torch.full_like(row_of, -1).masked_scatter(lives, torch.arange(num_rows, device=device))
        return done, done_scores

    def greedy(self, first: Tensor, follow: Follow) -> tuple[Tensor, Tensor]:
        """The text of the best token each time.

        Args:
            first: [b, vocabulary], the logits behind each prompt.
            follow: Goes on.

        Returns:
            Tokens [b, max_new_tokens], filled up with the end token, and their log-likelihoods, 0 behind the first end.
        """
        every, logits = torch.arange(len(first), device=first.device), first
        written = torch.full((len(first), self.max_new_tokens), self.end, device=first.device)
        likelihoods = torch.zeros(written.shape, device=first.device)
        has_ended = torch.zeros_like(every, dtype=torch.bool)
        places = self.choices.begin(len(first), first.device)
        for step in range(self.max_new_tokens):
            offered = self.choices.after(places, logits)
            best, columns = offered.likelihoods.max(1)
            chosen = offered.tokens[every, columns].masked_fill(has_ended, self.end)
            written[:, step] = chosen
            likelihoods[:, step] = best.masked_fill(has_ended, 0)
            has_ended = has_ended | (chosen == self.end)
            if has_ended.all() or step + 1 == self.max_new_tokens:
                break
            places = offered.places[every, columns]
            logits = follow(chosen, every)
        return written, likelihoods


def _taken(texts: Tensor, places: Tensor) -> Tensor:
    """The texts [b, k, length] at places [b, k] of texts [b, n, length]."""
    return texts.gather(1, places[:, :, None].expand(-1, -1, texts.shape[2]))
