"""A judge that is a language model of Transformers on this machine, with or without eyes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from dim.core.files import content_hash
from dim.core.progress import tracked
from dim.encoders.device import DTYPES, Precision, resolve_device
from dim.encoders.pretrained import check_whole, frozen
from dim.encoders.special_tokens import as_plain_text, special_tokens
from dim.encoders.text_reader import accepted
from dim.errors import ConfigError, DataError
from dim.images.scaled import scaled_down
from dim.judge.contract import Case, Verdict
from dim.judge.model_judge import ModelJudge
from dim.judge.question import MOST, Asked, JudgeTemplate
from dim.judge.server import record_name
from dim.refresh.answers import Answer, AnswerLog
from dim.refresh.prompt import Prompt

MOST_PIXELS = 512 * 512  #: Of an image; larger ones are scaled down before the model's own processor scales them.


class LocalModelJudge(ModelJudge):
    """A causal language model with a chat template, or with `sees_images` an image-text-to-text model.

    It is shown lettered candidates as a server's model is, and the log-probabilities of the letters as the next token
    are its verdict: it never abstains, and nothing is generated.

    Args:
        path: A folder as `save_pretrained` writes it (safetensors), or an id on the Hugging Face hub.
        sees_images: Whether it is a vision-language model, and sees the mention's image.
        template: As of `ServerJudge`.
        seed: Of the candidates' order.
        precision: Of weights and arithmetic.
        device: `auto`, `cpu`, `cuda`, `cuda:1` …
        revision: A branch, tag or commit on the hub; has no meaning for a folder.

    Raises:
        ConfigError: There is no such model, or it has no chat template, or a letter is no token of its own. Raised at
            first use.
    """

    WHAT = "a language model with a chat template"
    most_candidates: ClassVar[int] = MOST
    image_side = 512

    def __init__(
        self,
        path: str,
        sees_images: bool = False,
        template: Path | None = None,
        seed: int = 0,
        precision: Precision = "fp32",
        device: str = "auto",
        revision: str | None = None,
    ) -> None:
        self.path, self.sees_images, self.template, self.seed = str(path), sees_images, template, seed
        self.precision, self.device, self.revision = precision, device, revision
        self.prompts = JudgeTemplate(template)

    @property
    def reads_images(self) -> bool:
        """As asked."""
        return self.sees_images

    def _named(self, content: str) -> str:
        prompt = content_hash(self.prompts.source)[:16]
        return (
            f"LocalModelJudge({content}, prompt={prompt}, sees_images={self.sees_images}, seed={self.seed}, "
            f"precision={self.precision})"
        )

    def options(self) -> dict[str, Any]:
        """All but the device."""
        template = None if self.template is None else str(self.template)
        own = {"path": self.path, "sees_images": self.sees_images, "template": template, "seed": self.seed}
        return own | {"precision": self.precision, **self.pinned_options}

    def decide(self, cases: Sequence[Case], record: Path | None = None) -> list[Verdict]:
        """A verdict on each case; one that is in the record is not worked out again."""
        questions = [Asked.of(case, self.seed) for case in cases]
        if record is None:
            return [self._read(question, self._answer(question)) for question in questions]
        log = AnswerLog(record, record_name(self), "dim judge")
        found = []
        with log.open() as add:
            known = {answer.request_hash: answer for answer in log.read()[0]}
            for question in tracked(questions, "judge", len(questions)):
                answer = known.get(self._key(question))
                if answer is None:
                    answer = self._answer(question)
                    known[answer.request_hash] = answer
                    add(answer)
                found.append(self._read(question, answer))
        return found

    def _read(self, question: Asked, answer: Answer) -> Verdict:
        assert answer.alternatives is not None
        scores, none = question.verdict([answer.alternatives[0][letter] for letter in question.letters])
        return Verdict(scores, none, tokens_in=answer.tokens_in, tokens_out=answer.tokens_out)

    def _key(self, question: Asked) -> str:
        prompt, image = question.prompt(self.prompts), question.case.image
        seen = image.tobytes().hex() if image is not None and self.sees_images else ""
        return content_hash(self.fingerprint, prompt.system, prompt.user, seen)

    def _answer(self, question: Asked) -> Answer:
        """The log-probabilities of the letters as the next token, as a record keeps them."""
        inputs = self._inputs(question.prompt(self.prompts), question.case)
        with torch.inference_mode():
            logits = self.network(**inputs, **self._last_alone).logits[0, -1].float()
        shares = logits.log_softmax(-1)[[self._tokens[letter] for letter in question.letters]].tolist()
        if not all(map(math.isfinite, shares)):
            found = "NaN or infinity"
            raise DataError(f"finite probabilities of {self.WHAT} at {self.path}", found, "Use precision fp32.")
        letters = dict(zip(question.letters, shares, strict=True))
        return Answer(
            entity_id=question.case.key,
            status="ok",
            text=max(letters, key=letters.__getitem__),
            model=self.label,
            served_model=None,
            prompt_hash=content_hash(self.prompts.source),
            request_hash=self._key(question),
            parameters=self.options(),
            tokens_in=int(inputs["input_ids"].shape[-1]),
            tokens_out=0,
            tokens_reported=True,
            cost=None,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
            tries=0,
            alternatives=[letters],
        )

    def _inputs(self, prompt: Prompt, case: Case) -> Any:
        prompt = Prompt(prompt.system, as_plain_text(prompt.user, self._special_tokens))
        image = case.image if self.sees_images else None
        parts: list[dict[str, Any]] = [{"type": "text", "text": prompt.user}]
        if image is not None:
            parts.insert(0, {"type": "image", "image": _scaled(image)})
        user: Any = parts if self.sees_images else prompt.user
        system: Any = [{"type": "text", "text": prompt.system}] if self.sees_images else prompt.system
        messages = [{"role": "system", "content": system}] if prompt.system and self._takes_system else []
        if prompt.system and not messages:
            user = [{"type": "text", "text": prompt.system}, *parts] if self.sees_images else _together(prompt)
        inputs = self._processor.apply_chat_template(
            [*messages, {"role": "user", "content": user}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        dtype = [DTYPES[self.precision]] if self.sees_images else []  # of pixels
        return inputs.to(self._torch_device, *dtype)

    @cached_property
    def _special_tokens(self) -> list[str]:
        return special_tokens(self._processor)

    @cached_property
    def _takes_system(self) -> bool:
        """Whether its chat template has a place for a system message: some refuse one, or drop it."""
        said = "A-SYSTEM-MESSAGE"
        content: Any = [{"type": "text", "text": said}] if self.sees_images else said
        try:
            shown = self._processor.apply_chat_template([{"role": "system", "content": content}], tokenize=False)
        except Exception:  # templates raise what they like
            return False
        return said in shown

    @cached_property
    def _tokens(self) -> dict[str, int]:
        """The token of each letter as an answer begins with it.

        Raises:
            ConfigError: Two letters begin with the same token.
        """
        tokenizer = self._tokenizer
        letters = [chr(ord("A") + place) for place in range(MOST + 1)]
        found = {letter: tokenizer(letter, add_special_tokens=False)["input_ids"] for letter in letters}
        firsts = {letter: ids[0] for letter, ids in found.items() if ids}
        if len(set(firsts.values())) < len(letters):
            raise ConfigError(f"letters that are tokens at {self.path}", "several as one token", "Name another model.")
        return firsts

    @property
    def _tokenizer(self) -> Any:
        return getattr(self._processor, "tokenizer", self._processor)

    @cached_property
    def _processor(self) -> Any:
        """Tokenizer, or processor of images and texts."""
        import transformers

        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        found = self.source.load(transformers.AutoProcessor if self.sees_images else transformers.AutoTokenizer)
        if not found.chat_template:
            remedy = "Name a model that is made for instructions."
            raise ConfigError(f"a chat template at {self.path}", "none", remedy)
        if self.sees_images and not hasattr(found, "image_processor"):
            remedy = "Name a vision-language model, or leave sees_images out."
            raise ConfigError(f"a processor of images and texts at {self.path}", type(found).__name__, remedy)
        return found

    @cached_property
    def _last_alone(self) -> dict[str, int]:
        """Has a forward pass give logits for the last position alone, where it can."""
        return {"logits_to_keep": 1} if "logits_to_keep" in accepted(self.network) else {}

    @cached_property
    def network(self) -> Any:
        """The model, loaded at first use; its weights are never unpickled.

        Raises:
            ConfigError: It is of another kind, or weights are missing.
        """
        import transformers

        kind = transformers.AutoModelForImageTextToText if self.sees_images else transformers.AutoModelForCausalLM
        model, report = self.source.load(
            kind, dtype=DTYPES[self.precision], use_safetensors=True, output_loading_info=True
        )
        check_whole(report["missing_keys"], f"{self.WHAT} at {self.path}", "Choose another checkpoint.")
        return frozen(model).to(self._torch_device)

    @cached_property
    def _torch_device(self) -> torch.device:
        return resolve_device(self.device)


def _together(prompt: Prompt) -> str:
    return f"{prompt.system}\n\n{prompt.user}"


def _scaled(image: Any) -> Any:
    from PIL import Image

    return Image.fromarray(scaled_down(image, MOST_PIXELS, 16, 50))
