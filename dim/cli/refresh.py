"""`dim refresh`: new entity texts from a language model behind an OpenAI-compatible server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dim.core.coroutines import run_to_end
from dim.core.files import check_variant, content_hash, file_name_of
from dim.data.dataset import ANSWERS, Dataset, add_texts
from dim.display.counts import count_of
from dim.display.lines import say
from dim.errors import ConfigError, DataError
from dim.refresh.answers import Answer, AnswerLog, Keep
from dim.refresh.asking import Asker
from dim.refresh.budget import Budget
from dim.refresh.chat_server import ChatServer
from dim.refresh.context import Room, listed_context
from dim.refresh.plan import RefreshPlan, old_texts, plan_refresh, sources_of
from dim.refresh.progress import answer_progress
from dim.refresh.prompt import PromptTemplate
from dim.refresh.quality import quality_report
from dim.refresh.quality_shown import print_quality
from dim.refresh.reply import RETRIED
from dim.refresh.side_by_side import print_side_by_side
from dim.refresh.tokens import TokenCounter
from dim.releases.prepare import open_dataset

MODEL = "DIM_LLM_MODEL"
MADE_BY = "dim refresh"
NUM_PROMPTS = 3
#: Goes into the record of a text: temperature and seed are what was asked.
NOT_KNOWN = (
    "whether the server followed them: no answer says so. Some sample by their model's own generation_config, and an "
    "equal seed may give other words on other hardware, in another batch or by another version."
)


def refresh(
    data: Path,
    model: str | None = None,
    variant: str | None = None,
    source_text: str = "brief",
    template: Path | None = None,
    tokenizer: Path | None = None,
    context: int | None = None,
    limit: int | None = None,
    replace: bool = False,
    dry_run: bool = False,
    show: str | None = None,
    cache_dir: Path = Path("cache"),
    **asking: Any,
) -> Dataset:
    """Asks a language model for a new text of each entity, and adds the answers to the dataset as a text variant.

    The server is any that speaks OpenAI's chat completions. OPENAI_API_KEY holds the key and OPENAI_BASE_URL the URL;
    the key is never logged or stored. Every answer is kept at once in `answers/<variant>.jsonl` of the dataset
    folder. Stopped at any moment and run again, the command asks only for what is missing or failed.

    Args:
        data: A dataset folder, or the release that it is made of (then it is prepared into the cache first).
        model: The model, as the server calls it; by default that of the environment variable DIM_LLM_MODEL.
        variant: The name of the new text; by default `refreshed-` and the model.
        source_text: The old text that the prompt quotes.
        template: A Jinja2 file with the fields name, text, aliases, type and attributes; a line `---` ends the system
            message. The default is dim/refresh/default_prompt.txt.
        tokenizer: The folder of the model's Transformers tokenizer: it counts prompts exactly, chat template included.
            By default they are estimated by characters / 4, corrected by what the server reported before.
        context: The most tokens that the model reads and writes together: a longer prompt loses the end of the old
            text. By default as the server lists it, else by the tokenizer's folder.
        limit: Ask for the first so many entities only.
        replace: Whether a variant made with another model or prompt may be replaced (its answers are kept).
        dry_run: Print requests, tokens, cost and three prompts, and send nothing.
        show: An entity id: print its old and new text side by side, and send nothing.
        cache_dir: Where prepared releases are found.
        asking: Further options of `dim.refresh.chat_server.ChatServer`: base_url, max_tokens, concurrency, max_cost …

    Returns:
        The dataset with the new variant.

    Raises:
        ConfigError: An option does not fit, or the server answers nobody (wrong key, URL or model).
        DataError: `data` or its answers cannot be read, or it has no such entity.
        StorageError: The disk is full.
    """
    dataset = open_dataset(data, cache_dir)
    if show is not None:
        print_side_by_side(dataset, show, _shown_variant(dataset, variant, model), source_text)
        return dataset
    if min(1 if limit is None else limit, 1 if context is None else context) < 1:
        raise ConfigError("a limit and a context of at least 1", f"{limit} and {context}", "Raise what is too small.")
    server = ChatServer(model=_model(model), **asking)
    run = _Run(
        dataset,
        server,
        check_variant(variant or _variant_of(server.model)),
        source_text,
        PromptTemplate(template),
        TokenCounter(tokenizer, server.template_options),
    )
    run.check_variant_is_ours(replace)
    old = old_texts(dataset, source_text)
    log = AnswerLog(dataset.root, run.variant)
    with nullcontext() if dry_run else log.held():
        run.check_unchanged()
        answers, num_torn = log.read()
        plan = run.plan(old, answers, limit, context or run.counter.context)
        is_left = plan.pending or plan.too_long
        if is_left and context is None and not dry_run and (listed := run_to_end(run.listed_context())):
            plan = run.plan(old, answers, limit, listed)
        run.say_plan(plan, num_torn, limit)
        if dry_run:
            run.print_dry_run(plan)
            return dataset
        stop = ""
        try:
            if plan.pending:
                with log.open() as add:
                    stop = run_to_end(run.ask(plan, add))
        finally:  # also after Ctrl-C, SIGTERM or an error: what came is put to use
            dataset = run.write(plan)
    if stop:
        run.say_stop(plan, stop)
    elif failed := sum(plan.statuses().get(status, 0) for status in RETRIED):
        say(
            f"left      {count_of(failed, 'entity')}, for which the server failed each try; the same command asks again"
        )
    return dataset


@dataclass
class _Run:
    dataset: Dataset
    server: ChatServer
    variant: str
    source_text: str
    template: PromptTemplate
    counter: TokenCounter
    asker: Asker | None = None
    room: Room = field(init=False)

    @cached_property
    def budget(self) -> Budget:
        return self.server.budget()

    @property
    def prompt_hash(self) -> str:
        return self.template.hash(self.server.asked)

    @property
    def recipe(self) -> str:
        """Changes with whatever makes two new texts not of one kind."""
        return content_hash(self.server.model, self.prompt_hash, self.source_text)

    def check_variant_is_ours(self, replace: bool) -> None:
        """Protects the texts that this command did not make, and those that it made in another way."""
        if self.variant not in self.dataset.variants:
            return
        facts = self.dataset.meta.get("text_facts", {}).get(self.variant, {})
        if facts.get("made_by") != MADE_BY:
            raise ConfigError(
                f"a new text variant in {self.dataset.root / 'texts'}",
                f"'{self.variant}', an original",
                "Name another one with --variant.",
            )
        if facts.get("recipe") != self.recipe and not replace:
            raise ConfigError(
                f"the model, prompt and source text of '{self.variant}'",
                f"others than now (it was made by {facts.get('model')} from '{facts.get('source_text')}')",
                "Name another --variant, or replace this one with --replace true; its answers are kept.",
            )

    def check_unchanged(self) -> None:
        """Raises DataError where the dataset was written anew since it was opened."""
        now = Dataset(self.dataset.root)
        text = f"texts/{self.source_text}"
        if now.hash != self.dataset.hash or now.meta["hashes"].get(text) != self.dataset.meta["hashes"].get(text):
            raise DataError(
                f"the entities that were read in {now.root}",
                "others: it was written anew meanwhile",
                "Run the same command again; nothing was asked.",
            )

    def plan(
        self, old: Sequence[str | None], answers: Sequence[Answer], limit: int | None, context: int | None
    ) -> RefreshPlan:
        """The questions, with room for an answer in the model's context."""
        self.room = Room(self.counter, context, self.server.max_tokens)
        return plan_refresh(
            self.dataset, old, self.template, self.server.model, self.server.asked, answers, limit, self.room
        )

    async def listed_context(self) -> int | None:
        """The model's context as the server lists it."""
        async with self.server.endpoint() as endpoint:
            return listed_context(await endpoint.models(), self.server.model)

    def say_plan(self, plan: RefreshPlan, num_torn: int, limit: int | None) -> None:
        asked = len(plan.ids) if limit is None else min(limit, len(plan.ids))
        say(
            f"{self.dataset.name}: {asked:,} entities to refresh as '{self.variant}' by {self.server.model}; "
            f"{asked - len(plan.pending) - len(plan.too_long):,} answered before, {len(plan.pending):,} left"
            + (f", {len(plan.too_long):,} too long" if plan.too_long else "")
        )
        if num_torn:
            say(f"{num_torn} line(s) of the record were torn by a kill; these answers are asked for again")
        for line in self.room.told() if plan.pending or plan.too_long else ():
            say(f"context   {line}")

    def print_dry_run(self, plan: RefreshPlan) -> None:
        self.counter.correct(plan.reported)
        tokens_in = sum(self.counter.count(request.prompt) for request in plan.pending)
        tokens_out = self.server.max_tokens * len(plan.pending)
        cost = self.budget.prices.cost(tokens_in, tokens_out)
        about = "at most" if self.counter.is_exact else "about"
        say(f"requests  {len(plan.pending):,}")
        say(
            f"tokens    {'' if self.counter.is_exact else 'about '}{tokens_in:,} in ({self.counter.method}), "
            f"at most {tokens_out:,} out"
        )
        say("cost      name --price_in and --price_out" if cost is None else f"cost      {about} {cost:,.4f}")
        for request in plan.pending[:NUM_PROMPTS]:
            say(f"\n--- prompt for {request.entity_id}\n{request.prompt}")
        say("\nNothing was sent.")

    async def ask(self, plan: RefreshPlan, add: Keep) -> str:
        """Asks for what is pending. Returns why it stopped early, or nothing."""
        with answer_progress("refresh", self.budget, len(plan.pending)) as advance:
            async with self.server.endpoint() as endpoint:

                def keep(answer: Answer) -> None:
                    add(answer)
                    plan.add(answer)
                    advance(answer)

                self.asker = self.server.asker(
                    endpoint, self.budget, self.counter, self.prompt_hash, keep, plan.has_answers
                )
                return await self.asker.run(plan.pending)

    def write(self, plan: RefreshPlan) -> Dataset:
        """Writes the variant from the finished answers, and prints what it is like."""
        statuses, table = plan.statuses(), plan.table()
        counts = ", ".join(f"{count:,} {status}" for status, count in statuses.items())
        say(f"sent      {self.budget.told()}")
        if self.budget.num_charged > self.budget.num_timed_out and not self.counter.is_exact:
            say("uncounted --tokenizer FOLDER, the model's own, counts what its server does not")
        if self.budget.num_timed_out and self.asker is not None:
            say(f"time-outs {self.asker.advice()} should do")
        say(f"entities  {counts}")
        # One of each kind: many cut answers hide no server's own words.
        firsts = {answer.status: answer for answer in reversed(plan.latest.values()) if answer.status != "ok"}
        for answer in (firsts[status] for status in statuses if status in firsts):
            say(f"          e.g. {answer.entity_id}: {answer.status}, {answer.detail}")
        if table.empty:
            say(f"No answer is usable, so the text '{self.variant}' is not written.")
            return self.dataset
        quality = quality_report(plan.ids, plan.old, plan.texts(), sources_of(self.dataset, plan.old))
        facts = self._facts(plan, statuses) | {"quality": quality}
        dataset = add_texts(self.dataset.root, self.variant, table, **facts)
        say(
            f"written   {dataset.root / 'texts' / self.variant}.parquet: {len(table):,} texts; "
            f"{len(plan.ids) - len(table):,} entities have none"
        )
        print_quality(quality, self.source_text, self.variant)
        return dataset

    def _facts(self, plan: RefreshPlan, statuses: dict[str, int]) -> dict[str, Any]:
        used = [plan.latest[entity_id] for entity_id in plan.ids if plan.status(entity_id) == "ok"]
        costs = [answer.cost for answer in used if answer.cost is not None]
        return {
            "made_by": MADE_BY,
            "recipe": self.recipe,
            "model": self.server.model,
            "served_models": sorted({answer.served_model for answer in used if answer.served_model}),
            "source_text": self.source_text,
            "prompt_hash": self.prompt_hash,
            "prompt_template": self.template.source,
            "parameters": self.server.asked.as_json(),
            "context": self.room.context,
            "sampling": {
                "asked": {name: getattr(self.server, name) for name in ("temperature", "seed")},
                "system_fingerprints": sorted({a.system_fingerprint for a in used if a.system_fingerprint}),
                "not_known": NOT_KNOWN,
            },
            "statuses": statuses,
            "tokens_in": sum(answer.tokens_in for answer in used),
            "tokens_out": sum(answer.tokens_out for answer in used),
            "cost": sum(costs) if costs else None,
        }

    def say_stop(self, plan: RefreshPlan, stop: str) -> None:
        left = sum(plan.status(request.entity_id) != "ok" for request in plan.pending)
        say(
            f"stopped   before the next call: {stop}. {left:,} entities are left; the same command goes on with them "
            "(a budget counts one run)."
        )


def _model(model: str | None) -> str:
    name = model or os.environ.get(MODEL, "").strip()
    if not name:
        raise ConfigError("a model", f"neither --model nor {MODEL}", "Name the model as your server calls it.")
    return name


def _variant_of(model: str) -> str:
    """The default name of the new text.

    Example:
        >>> _variant_of("some-lab/Model 8B")
        'refreshed-Model-8B'
    """
    return "refreshed-" + file_name_of(model)


def _shown_variant(dataset: Dataset, variant: str | None, model: str | None) -> str:
    """Which variant `--show` means: the one named, that of the model, or the only one."""
    if variant is not None:
        return check_variant(variant)
    if model or os.environ.get(MODEL, "").strip():
        return _variant_of(_model(model))
    found = sorted(path.stem for path in (dataset.root / ANSWERS).glob("*.jsonl"))
    if len(found) != 1:
        raise ConfigError(
            f"one refreshed text in {dataset.root / 'answers'}", ", ".join(found) or "none", "Name it with --variant."
        )
    return found[0]
