"""`dim demo-lm`: the demo's stand-in for a large language model, a small one that knows the demo world's people.

It is trained from scratch on questions in the prompt's form, several a document, drawn from the KB alone: no image, no
mention of the dataset. In the place of an image stand, in some questions, words for what it would show.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from dim.core.files import write_json
from dim.core.output import Kind, output_folder
from dim.data.dataset import Dataset
from dim.demo.demo_batches import MIN_VOCABULARY, Targeted, encode, make_batches, pad_right, train_tokenizer
from dim.demo.documents import Question, draw_questions
from dim.display.log import quieten
from dim.display.terminal import Console
from dim.errors import ConfigError
from dim.methods.generative.prompt import IGNORED
from dim.training.progress_lines import ProgressBar, progress_callback
from dim.training.trainer_options import accelerator_of

MANIFEST = "demo_lm.json"  #: Says how the model was made.
#: What Transformers writes of a model and its tokenizer, of any version so far.
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    MANIFEST,
)
MODEL = Kind("a language model of dim demo-lm", lambda folder: (folder / MANIFEST).is_file(), lambda folder: FILES)
NUM_FOR_WORDS = 20_000  #: Questions from which the tokenizer learns.
NUM_HELD_OUT = 600  #: Questions drawn after training, to see what was learnt.
WARM_UP = 0.05  #: Share of the steps.


@dataclass(frozen=True)
class Size:
    """The size of the network.

    Attributes:
        layers: Transformer blocks.
        width: Columns of a vector; a multiple of 32.
        context: Most tokens of a document.
        vocabulary: Tokens; at least 300.
    """

    layers: int = 3
    width: int = 128
    context: int = 512
    vocabulary: int = 1500


def demo_lm(
    dataset: Path,
    folder: Path,
    num_questions: int = 80_000,
    size: Size = Size(),
    learning_rate: float = 2e-3,
    batch_size: int = 32,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, float]:
    """Trains a small GPT-2 on a demo world and writes it as a folder that Transformers loads.

    The same arguments write the same bytes on the same machine with the same number of threads.

    Args:
        dataset: A folder as `dim demo-world` writes it; only its KB is read.
        folder: Where the model shall stand: a new or empty path.
        num_questions: How many questions it reads, each once.
        size: Of the network.
        learning_rate: Peak of AdamW's; it falls linearly to nothing.
        batch_size: Questions a step.
        seed: Of the questions and of the initial weights.
        overwrite: Replace the model that stands in `folder`.

    Returns:
        Share of right answers to newly drawn questions, by kind.

    Raises:
        ConfigError: `folder` is taken, or a number is out of range.
        DataError: `dataset` is no demo world.
        StorageError: The disk is full, or the folder may not be written.
    """
    _check(num_questions, size, learning_rate, batch_size)
    with output_folder(folder, MODEL, "dim demo-lm", sources=[dataset], overwrite=overwrite) as place:
        right = _make(place, Dataset(dataset), num_questions, size, learning_rate, batch_size, seed)
    Console().say(f"written: {folder}")
    return right


def _make(
    place: Path,
    world: Dataset,
    num_questions: int,
    size: Size,
    learning_rate: float,
    batch_size: int,
    seed: int,
) -> dict[str, float]:
    console, progress = Console(), Console(stderr=True)
    questions = draw_questions(world.entities, num_questions, np.random.default_rng([seed, 0]))
    words = draw_questions(world.entities, NUM_FOR_WORDS, np.random.default_rng([seed, 2]))
    tokenizer = train_tokenizer(words, size.vocabulary, size.context)
    batches = list(make_batches(questions, tokenizer, batch_size, seed))
    model = new_model(tokenizer, size, seed)
    num_tokens = sum(len(tokens) for batch in batches for tokens, _ in batch)
    progress.print(
        f"{model.num_parameters():,} parameters, {num_tokens:,} tokens in {len(batches):,} steps, "
        f"{len(world.entities):,} entities"
    )
    start = time.perf_counter()
    loss = train(model, batches, learning_rate)
    progress.print(f"trained in {time.perf_counter() - start:.0f} s, last loss {loss:.3f}")
    held_out = draw_questions(world.entities, NUM_HELD_OUT, np.random.default_rng([seed, 1]))
    right = top1(model, tokenizer, held_out)
    shares = ", ".join(f"{kind} {share:.3f}" for kind, share in right.items())
    console.print(f"right answers to {NUM_HELD_OUT} new questions, looks in words: {shares}")
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    made = {"kb_hash": world.kb_hash, "num_questions": num_questions, "batch_size": batch_size}
    write_json(place / MANIFEST, {**made, "learning_rate": learning_rate, "seed": seed, "loss": loss, "top1": right})
    return right


def _check(num_questions: int, size: Size, learning_rate: float, batch_size: int) -> None:
    numbers = {"num_questions": num_questions, "batch_size": batch_size, "size.layers": size.layers}
    limits = {
        **{name: (value, 1) for name, value in numbers.items()},
        "size.context": (size.context, 128),
        "size.vocabulary": (size.vocabulary, MIN_VOCABULARY),
    }
    for name, (value, least) in limits.items():
        if value < least:
            raise ConfigError(f"--{name} from {least} on", str(value), f"Raise --{name}.")
    if not learning_rate > 0:
        raise ConfigError("a --learning_rate above 0", str(learning_rate), "Use 0.002, for example.")
    if size.width <= 0 or size.width % 32:
        raise ConfigError("a --size.width that 32 divides", str(size.width), "Use 128, for example.")


def new_model(tokenizer: PreTrainedTokenizerFast, size: Size, seed: int) -> GPT2LMHeadModel:
    """A GPT-2 with random weights, without dropout: it shall know its world by heart."""
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=size.context,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.width // 32,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # GPT-2's 0.02 is for a width of 768; with it, a narrow network starts to learn much later.
        initializer_range=size.width**-0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    # Waves of geometric lengths (arXiv 1706.03762, section 3.5): with random vectors the model would have to learn
    # for each position anew where its neighbours are.
    angle = torch.arange(size.context)[:, None] / size.context ** (torch.arange(size.width // 2) * 2 / size.width)
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)  # [context, width]
    with torch.no_grad():
        model.transformer.wpe.weight.copy_(waves * config.initializer_range * 2**0.5)
    return model


class _Pretraining(LightningModule):
    def __init__(self, model: GPT2LMHeadModel, learning_rate: float, steps: int) -> None:
        super().__init__()
        self.model, self.learning_rate, self.steps = model, learning_rate, steps
        self.losses: list[Tensor] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        tokens, targets = batch
        hidden = self.model.transformer(tokens).last_hidden_state  # [b, t, width]
        learnt = targets != IGNORED
        loss = F.cross_entropy(self.model.lm_head(hidden[learnt]), targets[learnt])
        self.losses.append(loss.detach())
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        warm_up = max(1, round(WARM_UP * self.steps))
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: min((step + 1) / warm_up, max(0.0, self.steps - step) / max(1, self.steps - warm_up)),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}


def train(model: GPT2LMHeadModel, batches: list[list[Targeted]], learning_rate: float) -> float:
    """Trains in place, each batch once, and returns the mean loss of the last twentieth of the steps."""
    quieten("pytorch_lightning")
    task = _Pretraining(model, learning_rate, len(batches))
    # Nothing looks ahead at what fills a document up. Transformers would warn of padding tokens without a mask.
    pad = model.config.eos_token_id
    # The batches are made: the loader adds nothing but the padding.
    loader: DataLoader[list[Targeted]] = DataLoader(
        batches,  # type: ignore[arg-type]
        batch_size=None,
        collate_fn=lambda batch: pad_right(batch, pad),
    )
    shown = progress_callback("the language model")
    # The loader draws a seed that nothing here reads.
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        Trainer(
            accelerator=accelerator_of("auto"),
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            enable_progress_bar=isinstance(shown, ProgressBar),
            callbacks=[shown],
        ).fit(task, loader)
    model.to("cpu").eval()
    last = task.losses[-max(1, len(batches) // 20) :]
    return round(torch.stack(last).mean().item(), 4)


@torch.inference_mode()
def top1(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, questions: Sequence[Question], batch_size: int = 64
) -> dict[str, float]:
    """Share of right answers by kind of question, each asked without examples and answered greedily, by any text."""
    prompts, names = encode(questions, tokenizer)
    right: dict[str, list[bool]] = {kind: [] for kind in sorted({question.kind for question in questions})}
    for i in range(0, len(questions), batch_size):
        batch = tokenizer.pad({"input_ids": prompts[i : i + batch_size]}, return_tensors="pt")
        written = model.generate(**batch, max_new_tokens=1 + max(map(len, names)), do_sample=False)
        texts = tokenizer.batch_decode(written[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for question, text in zip(questions[i : i + batch_size], texts, strict=True):
            right[question.kind].append(text == question.name)
    return {kind: round(float(np.mean(answers)), 4) for kind, answers in right.items()}
