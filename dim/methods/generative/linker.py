"""The linker of a generative run: a language model writes the entity's name, under a prefix tree that may grow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from dim.core.arrays import Rows
from dim.core.sealed import open_sealed, seal
from dim.data.dataset import NIL
from dim.data.entity import Entity
from dim.encoders.base import ENCODERS
from dim.encoders.device import resolve_device
from dim.errors import ConfigError, DataError
from dim.evaluation.protocols import NIL_ROW
from dim.features.live import LiveEncoder
from dim.inference.method import Method
from dim.linker.answer import Answer, Question, check_finite, of_question
from dim.linker.card import encoder_names, model_card
from dim.linker.entity_table import read_entities, write_entities
from dim.linker.figures import about_run
from dim.linker.folder import MANIFEST, REMEDY, UNTRUSTED, check_fingerprints
from dim.linker.images import ImageReader, question_images
from dim.linker.knowledge import Knowledge, knowledge_of
from dim.linker.manifest import GenerativeManifest
from dim.linker.ranked import RankedLinker, card_of_ranker, ranker_row, read_ranker
from dim.linker.recipe import (
    Recipe,
    absolute,
    check_widths,
    make,
    read_classes,
    recipe_of_run,
    write_encoder_files,
)
from dim.linker.run_ranker import ranker_of_run
from dim.methods.generative.decoding import Written
from dim.methods.generative.examples import SimilarExamples
from dim.methods.generative.likelihoods import Likelihoods
from dim.methods.generative.linker_examples import ExampleChoice, TrainingMentions, padded, training_mentions
from dim.methods.generative.linker_folder import (
    LANGUAGE_MODEL,
    MAPPER,
    all_fingerprints,
    language_model_options,
    located,
    read_mapper,
    write_language_model,
)
from dim.methods.generative.linker_names import WritableNames
from dim.methods.generative.mapper import FeatureMapper
from dim.methods.generative.name_tree import NameTree
from dim.methods.generative.network import GEMELNetwork
from dim.methods.generative.prompt import Prompt, Prompts
from dim.methods.generative.ways import Encoded
from dim.reranker.entities import EntityFacts
from dim.reranker.ranker import Ranker
from dim.search.vector_index import KindOrAuto
from dim.training.tie_break import Popularity

FORMAT = 3
NOTE = "Probabilities are shares of the likelihood of the names that were found; they are not calibrated."
EVIDENCE = {
    "likelihood": "probability of the name that the language model wrote, over its tokens",
    "per_token": "its logarithm, divided by the tokens",
    "tokens": "of the name, and one for its end",
    "alias": "the name that was written is an alias",
}
Images = Callable[[Rows], Tensor]


class GenerativeLinker(RankedLinker):
    """Links mentions by the names that a GEMEL run writes; asked, grown and saved as any `Linker`.

    An answer's score is the log-likelihood of the name that it was found by, over its tokens as the run has it, and its
    probability that name's share among all names that were found: entities of one name have the same. They are ordered
    by popularity, then by id. With the ranker of its run (`dim rank`) entities of similar names compete as well, all
    are ordered by it, and probabilities are calibrated.

    Example:
        linker = Linker.from_checkpoint("runs/gemel")
        for answer in linker.link("Jordan", "Jordan won six titles with the Bulls.", "jordan.jpg"):
            print(answer.name, answer.probability, answer.evidence)
    """

    method = GEMELNetwork
    content = "generative linker"

    def __init__(
        self,
        task: GEMELNetwork,
        live: LiveEncoder,
        knowledge: Knowledge,
        training: TrainingMentions,
        tree: NameTree | None,
        about: dict[str, Any],
        ranker: Ranker | None = None,
        facts: EntityFacts | None = None,
    ) -> None:
        super().__init__(knowledge, live, about, None, ranker, facts)
        self.task = task
        self.writable = WritableNames(task, knowledge, tree)
        self.choice = ExampleChoice(training, task.examples)

    @classmethod
    def of_run(cls, task: Method, run: Path, index: KindOrAuto = "auto") -> GenerativeLinker:
        """The linker of an opened run.

        Raises:
            ConfigError: It needs its dataset to answer.
        """
        assert isinstance(task, GEMELNetwork)
        _check(task, run)
        data, ranker = task.data, ranker_of_run(run, task)
        recipe = _recipe(task, run)
        unread: dict[str, Any] = dict.fromkeys(set(ENCODERS) - set(recipe["encoders"]))
        name = model.name if (model := Path(task.language_model.path)).is_dir() else str(model)
        reads_context = "context" not in task.datamodule.leave_out
        return cls(
            task,
            LiveEncoder(replace(task.datamodule.choices, **unread)),
            knowledge_of(data.dataset.entities, data.texts, data.dataset.image_root),
            training_mentions(task),
            task.tree if task.constrained else None,
            about_run(task, run, recipe, ranker, "likelihood", language_model=name, reads_context=reads_context),
            ranker,
        )

    @classmethod
    def read(
        cls, folder: Path, device: str, trusted: Sequence[str] = (), image_root: str | Path | None = None
    ) -> GenerativeLinker:
        """As of `Linker`.

        Raises:
            DataError: There is no generative linker, a damaged one, one of another format, one that names classes which
                are not dim's, or its language model or encoders are not what they were.
        """
        manifest = open_sealed(folder, cls.content, FORMAT, MANIFEST, REMEDY, GenerativeManifest)
        recipe = located(manifest["about"]["recipe"], folder, manifest["files"])
        about = manifest["about"] | {"recipe": recipe}
        task, live = make(recipe, device, GEMELNetwork, trusted)
        task.check()
        check_fingerprints(manifest["fingerprints"], live.choices.encoders | {LANGUAGE_MODEL: task.language_model})
        if task.end == "auto":
            found = "auto, which is chosen on a dataset"
            raise DataError("a linker that says what ends a name (eos, line)", found, REMEDY)
        task.settle_names()
        if (width := manifest["image_width"]) is not None:
            read_mapper(folder / MAPPER, task, width)
            check_widths(live, {"mention_fields": {"image": width}, "entity_fields": {}})
        task.register_buffer("place", torch.empty(0), persistent=False)  # says where it computes, also without a mapper
        task.to(resolve_device(device)).eval().requires_grad_(False)
        task.on_scoring_start()
        task.try_parts()
        knowledge = read_entities(folder, manifest["next_row"], image_root)
        tree = NameTree.load(folder / "tree") if (folder / "tree").exists() else None
        training, rankers = TrainingMentions.load(folder / "examples"), read_ranker(folder, knowledge)
        return cls(task, live, knowledge, training, tree, about, *rankers)

    def write(self, place: Path, about: dict[str, Any]) -> None:
        """As of `Linker`; the training mentions that examples are chosen from and a local language model go along.

        Raises:
            DataError: The linker has classes that nothing would make again (`about["trusted"]` says which may be others
                than dim's), or files of the language model or an encoder are gone or cannot become safetensors.
        """
        trusted = about.get("trusted", ())
        read_classes(about["recipe"], GEMELNetwork, trusted, UNTRUSTED)
        mapper, tree = self.task.mapper, self.writable.tree
        weights = {name: value.contiguous().cpu() for name, value in mapper.state_dict().items()}
        width = mapper.linear.in_features if isinstance(mapper, FeatureMapper) else None
        facts: dict[str, Any] = {"next_row": self.knowledge.next_row, "image_width": width}
        (place / MAPPER).write_bytes(save(weights))
        write_entities(self.knowledge, place, about.get("images", "paths"))
        self.choice.training.save(place / "examples")
        self.write_ranker(place)
        if tree is not None:
            tree.save(place / "tree", {"tokenizer": self.task.language_model.tokenizer_hash})
        recipe, converted = write_encoder_files(about["recipe"], self.live.choices.encoders, place)
        if write_language_model(recipe, self.task.language_model, place):
            converted.add(LANGUAGE_MODEL)
        facts["about"] = about | {"recipe": recipe}
        facts["fingerprints"] = all_fingerprints(self.task, self.live)
        if converted:  # of these the copy has other files, and by them another fingerprint
            copies = all_fingerprints(*make(located(recipe, place), "cpu", GEMELNetwork, trusted))
            facts["fingerprints"] |= {name: copies[name] for name in converted}
        (place / "README.md").write_text(self._card(about), encoding="utf-8")
        seal(place, self.content, FORMAT, facts, MANIFEST)

    def _card(self, about: dict[str, Any]) -> str:
        examples = self.task.examples
        chosen = f"{type(examples).__name__} ({examples.num_examples})"
        rows = {
            "language model": about["language_model"],
            "encoders": encoder_names(about) or "none",
            "NIL": "an answer like any name" if self.task.nil else "never answered",
            "in-context examples": f"{chosen}, of {len(self.choice.names):,} training mentions that are kept here",
        }
        kind = " whose names a language model writes"
        if self.ranker is None:
            return model_card(about, self.knowledge, rows, kind, NOTE)
        return model_card(about, self.knowledge, rows | ranker_row(self.ranker), kind, **card_of_ranker(self.ranker))

    def _add_scored(self, rows: Rows, entities: list[Entity]) -> None:
        # A name that is longer than the run writes is left out, which is said on stderr.
        try:
            self.writable.add(rows)
        except BaseException:
            self.writable.forget()
            raise

    def _remove_scored(self, rows: Rows) -> None:
        self.writable.forget()  # the next question waits until the prefix tree is built anew

    @property
    def has_probabilities(self) -> bool:
        """Of names, not calibrated, where there is no ranker."""
        return True

    @property
    def evidence(self) -> Mapping[str, str]:
        """The ranker's features, or what there is of the name that an answer was found by."""
        return EVIDENCE if self.ranker is None else super().evidence

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return isinstance(self.task.mapper, FeatureMapper)

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of questions ready."""
        return ImageReader(self.live, (*self.task.examples.fields, *(("image",) if self.reads_images else ())))

    @torch.inference_mode()
    def _link(self, questions: Sequence[Question], top_k: int) -> list[list[Answer]]:
        return super()._link(questions, top_k) if self.ranker is not None else self._by_names(questions, top_k)

    def _score(self, questions: Sequence[Question]) -> Likelihoods:
        model = self.task.language_model
        return self.task.likelihoods(
            *self._prompts(questions),
            self.writable.choices() if self.writable.can_write else None,
            lambda _, names: self.writable.ordering.of_names(0, names, [self.writable.owners(name) for name in names]),
            lambda rows: model.tokenize_names([self.knowledge.entities[row].name for row in rows.tolist()]),
        )

    def _by_names(self, questions: Sequence[Question], top_k: int) -> list[list[Answer]]:
        prompts, images_of = self._prompts(questions)
        found: dict[int, list[Answer]] = {}
        for is_scored in (False, True):
            places = [place for place, asked in enumerate(questions) if (asked.candidates is not None) == is_scored]
            for chosen in self.task.batches_of(prompts, places):
                encoded, _ = self.task.encode([prompts[place] for place in chosen], images_of)
                own = {place: questions[place] for place in chosen}
                answers_of = self._of_candidates(encoded, own) if is_scored else self._write(encoded)
                found |= zip(chosen, answers_of, strict=True)
        for place, answers in found.items():
            check_finite(place, [answer.score for answer in answers], "the language model's scores")
        return [found[place][:top_k] for place in range(len(questions))]

    def _write(self, encoded: Encoded) -> list[list[Answer]]:
        if not self.writable.can_write:
            return [[] for _ in encoded.last]
        written = self.task.decoder.write(self.task.language_model, encoded, self.writable.choices())
        return [self._answers(names, [self.writable.owners(name) for name in names]) for names in written]

    def _of_candidates(self, encoded: Encoded, questions: Mapping[int, Question]) -> list[list[Answer]]:
        owners, tokens = [], []
        for place, question in questions.items():
            with of_question(place):
                owners.append(self._competing(question))
                tokens.append(self._tokens(list(owners[-1])))
        model, decoder = self.task.language_model, self.task.decoder
        scores = decoder.score(model, encoded, tokens, self.task.score_batch_size)
        answers = []
        for competing, names, values in zip(owners, tokens, scores, strict=True):
            scored = zip(names, values, competing.values(), strict=True)
            best = sorted(scored, key=lambda each: -each[1])
            written = [Written(tuple(name), value) for name, value, _ in best]
            answers.append(self._answers(written, [np.array(rows, np.int64) for _, _, rows in best]))
        return answers

    def _competing(self, question: Question) -> dict[str, list[int]]:
        """Name → rows of the candidates that bear it; and NIL where it may be answered."""
        found: dict[str, list[int]] = {}
        for entity_id in dict.fromkeys(question.candidates or ()):
            row = self.knowledge.row(entity_id)
            found.setdefault(self.knowledge.entities[row].name, []).append(row)
        if self.task.nil:
            found.setdefault(NIL, []).append(NIL_ROW)
        return found

    def _tokens(self, names: list[str]) -> list[list[int]]:
        tokens, longest = self.task.language_model.tokenize_names(names), self.task.decoder.max_new_tokens
        for name, of_name in zip(names, tokens, strict=True):
            if len(of_name) >= longest:
                raise DataError(
                    f"candidates whose names have less than {longest} tokens",
                    f"{len(of_name)} in '{name[:80]}'",
                    "Leave it out, or fit the run with a larger max_new_tokens.",
                )
        return tokens

    def _answers(self, names: Sequence[Written], owners: Sequence[Rows]) -> list[Answer]:
        """The entities of names, the names best first."""
        found = self.writable.ordering.of_names(0, names, owners)
        scores = np.array([name.score for name in names], np.float64)
        shares = np.exp(scores - scores.max(initial=-np.inf))
        shares /= shares.sum()
        best: dict[int, int] = {}
        for place, rows in enumerate(owners):
            for row in rows.tolist():
                best.setdefault(row, place)
        return [
            self._answer_of(row, names[best[row]], float(score), float(shares[best[row]]))
            for row, score in zip(found.rows.tolist(), found.scores, strict=True)
            if row in best  # a text that is no name of the KB is no answer, but has its share
        ]

    def _answer_of(self, row: int, name: Written, score: float, share: float) -> Answer:
        length = len(name.tokens) + 1
        likelihood = name.score * length**self.task.decoder.length_penalty
        evidence = {"likelihood": float(np.exp(likelihood)), "per_token": likelihood / length, "tokens": float(length)}
        if row == NIL_ROW:
            return Answer(NIL, NIL, None, score, share, evidence)
        told = self.knowledge.entities.answered(row)
        model = self.task.language_model
        is_alias = model.detokenize(name.tokens) != model.detokenize(model.tokenize_names([told["name"]])[0])
        evidence["alias"] = float(is_alias)
        return Answer(**told, score=score, probability=share, evidence=evidence)

    def _prompts(self, questions: Sequence[Question]) -> tuple[list[Prompt], Images]:
        """The prompts, whose mentions are numbered from the examples on; and the image features of these."""
        fields = self._fields(questions)
        strings, images = fields.get("mention"), fields.get("image")
        chosen = [
            self.choice(question.mention, question.context, _vector(strings, place), _vector(images, place))
            for place, question in enumerate(questions)
        ]
        shown = sorted({example for row in chosen for example in row})
        number = {example: place for place, example in enumerate(shown)}
        texts = [self.choice.items[example] for example in shown] + [(q.mention, q.context) for q in questions]
        contexts = [context if self.about["reads_context"] else "" for _, context in texts]
        mentions = pd.DataFrame({"mention": [mention for mention, _ in texts], "context": contexts})
        spans = [*[(np.nan, np.nan)] * len(shown), *(question.span or (np.nan, np.nan) for question in questions)]
        mentions[["start", "end"]] = spans
        count = self.task.examples.num_examples
        examples = padded([*([] for _ in shown), *([number[each] for each in row] for row in chosen)], count)
        features, has_image = self._image_features(shown, images, len(questions))
        names = [self.choice.names[example] for example in shown]
        every_name = [*names, *(None for _ in questions)]
        maker = self.task.make_prompts(mentions, every_name, examples, has_image)
        rows = np.arange(len(shown), len(texts))
        try:
            prompts = maker.of(rows)
        except ConfigError:
            for place in range(len(rows)):
                with of_question(place):
                    _check_prompt(maker, rows[place : place + 1])
            raise
        return prompts, lambda rows: features[torch.from_numpy(rows)]

    def _fields(self, questions: Sequence[Question]) -> dict[str, tuple[Tensor, Tensor]]:
        """Vectors of the mentions and image features, with their masks, as far as the run reads them."""
        images = question_images(questions, self.image_reader, self.reads_images)
        names, contexts = [question.mention for question in questions], [question.context for question in questions]
        spans = [question.span for question in questions]
        batch = self.live.mentions(names, contexts, images, self.image_reader.wanted, spans)
        fields = {name: field.mean() for name, field in batch.fields.items()}
        for name, (values, _) in fields.items():
            for place, vector in enumerate(values.float().numpy()):
                check_finite(place, vector, f"a vector of the {name}")
        return fields

    def _image_features(
        self, shown: Sequence[int], images: tuple[Tensor, Tensor] | None, count: int
    ) -> tuple[Tensor, NDArray[np.bool_]]:
        """Features [examples, then questions] and which of them are there."""
        if images is None:
            return torch.zeros(0), np.zeros(len(shown) + count, bool)
        rows = self.choice.image_rows[np.array(shown, np.int64)]
        kept = np.zeros((len(shown), images[0].shape[1]), np.float32)
        kept[rows >= 0] = self.choice.training.images[rows[rows >= 0]]
        features = torch.cat([torch.from_numpy(kept), images[0].float()])
        return features, np.concatenate([rows >= 0, images[1].numpy()])


def _check_prompt(maker: Prompts, row: Rows) -> None:
    try:
        maker.of(row)
    except ConfigError as error:
        raise DataError(error.expected, error.found, "Give a shorter mention.") from error


def _vector(field: tuple[Tensor, Tensor] | None, place: int) -> NDArray[np.float32] | None:
    if field is None or not bool(field[1][place]):
        return None
    return cast("NDArray[np.float32]", field[0][place].float().numpy())


def _check(task: GEMELNetwork, run: Path) -> None:
    if type(task.tie_break) is not Popularity:
        raise ConfigError(
            "a run that orders entities of one name by popularity",
            f"{type(task.tie_break).__name__} at {run}, which scores the mentions of its dataset alone",
            "Leave --model.tie_break out, and fit again.",
        )
    controls = {"shuffle": task.datamodule.shuffle, "blank": task.datamodule.blank}
    if used := [name for name, fields in controls.items() if fields]:
        raise ConfigError(
            "a run that reads its features as they are", f"one with --data.{used[0]} at {run}", "Fit without it."
        )


def _recipe(task: GEMELNetwork, run: Path) -> Recipe:
    """The recipe of a run, with the encoders alone that its answers hang on."""
    read_fields = {
        "text_encoder": isinstance(task.examples, SimilarExamples),
        "image_encoder": isinstance(task.mapper, FeatureMapper),
    }
    recipe = recipe_of_run(run, type(task))
    encoders = {name: recipe["encoders"][name] for name, is_read in read_fields.items() if is_read}
    found = absolute(recipe | {"encoders": encoders})
    found["model"]["init_args"]["end"] = task.language_model.rules.end  # of `auto`, what was chosen on tune
    options = language_model_options(found)
    if Path(options["path"]).is_dir():
        options["path"] = str(Path(options["path"]).absolute())
    return found
