"""The one inference path: a mention in, ranked entities with their evidence out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from huggingface_hub import ModelHubMixin
from numpy.typing import NDArray

from dim.core.known_classes import packages
from dim.core.output import check_target, output_folder
from dim.data.dataset import NIL
from dim.encoders.device import resolve_device
from dim.errors import ConfigError, DataError
from dim.features.live import ImageInput
from dim.linker.annotate import Annotation, Spans, marked_questions
from dim.linker.answer import (
    Answer,
    Asking,
    Question,
    QuestionError,
    asked,
    asked_alone,
    check_finite,
    of_question,
    questions_of,
    shortened,
)
from dim.linker.competing import Candidates, told_few
from dim.linker.entity_table import KeptImages, check_images
from dim.linker.figures import figures_of_run
from dim.linker.folder import LINKER, read, write
from dim.linker.generative_folder import is_generative
from dim.linker.given import check_path, check_top_k, ids_of
from dim.linker.knowledge import Given, Knowledge, KnownEntity, entities_of, knowledge_of
from dim.linker.places import check_linker, check_name, run_folder
from dim.linker.recipe import recipe_of_run
from dim.linker.run_ranker import ranker_of_run
from dim.linker.sources import folder_of, live_encoder, noted_commit
from dim.linker.towers import ImageReader, Towers
from dim.methods.contrastive.module import DIM
from dim.methods.generative.module import GEMEL
from dim.reranker.candidates import unite
from dim.reranker.entities import EntityFacts
from dim.reranker.features import FEATURES, Asked, PairFeatures
from dim.reranker.lists import Lists
from dim.reranker.ranker import Judged, Ranker
from dim.search.lexical import EntityNames
from dim.search.vector_index import KindOrAuto, VectorIndex, check_kind
from dim.training.saved_run import open_run

if TYPE_CHECKING:
    from dim.linker.generative import GenerativeLinker

NUM_CANDIDATES = 32  #: That each of dense and lexical search brings; a ranker says how many it was trained with.
BATCH = 256

Rows = NDArray[np.int64]


class Linker(ModelHubMixin):
    """Links mentions to the entities of its KB, which may grow and shrink without training.

    Made by `from_checkpoint` (a run of `dim fit`) or `from_pretrained` (what `save` wrote).

    Example:
        linker = Linker.from_checkpoint("runs/wikimel")
        for answer in linker.link("Jordan", "Jordan won six titles with the Bulls."):
            print(answer.name, answer.score, answer.evidence)
    """

    def __init__(
        self,
        towers: Towers,
        knowledge: Knowledge,
        index: VectorIndex,
        names: EntityNames,
        ranker: Ranker | None,
        about: dict[str, Any],
    ) -> None:
        self.towers, self.knowledge, self.index, self.names = towers, knowledge, index, names
        self.live = towers.live  # the encoders that questions go through
        self.ranker, self.about = ranker, about
        self._features: PairFeatures | None = None  # of the KB as it is; None: to be made

    _told_few = False
    home: Path | None = None  #: The folder that it was opened from or last saved to.
    run: Path | None = None  #: The run that it was made of.

    @classmethod
    def from_checkpoint(
        cls,
        run: str | Path,
        device: str = "auto",
        index: KindOrAuto = "auto",
        dataset: str | Path | None = None,
        trusted: Sequence[str] = (),
    ) -> Linker:
        """The linker of a trained run, with the KB of its dataset.

        Args:
            run: A folder that `dim fit` wrote.
            device: Where the towers compute.
            index: `auto`, `exact`, `flat`, `ivf` or `hnsw`.
            dataset: Where the run's dataset stands now, if it has moved.
            trusted: What the names of classes outside dim may begin with, such as `my_package.`: they are imported, and
                run what they like.

        Raises:
            ConfigError: There is no trained run, its method has no linker, or there is no such index or device.
            CheckpointError: The run's data changed since.
            DataError: The dataset is not where it was, or `dataset` is another one; or the run names classes which are
                neither dim's nor trusted.
        """
        check_kind(index)
        run = run_folder(run)
        resolve_device(device)
        task = open_run(run, device, None if dataset is None else Path(dataset), trusted)
        if isinstance(task, GEMEL):
            return _generative().of_run(task, run)
        if not isinstance(task, DIM):
            raise ConfigError(
                "a contrastive or generative run (DIM, GEMEL)",
                f"{type(task).__name__} at {run}",
                "Name a run of a config whose model is DIM or GEMEL.",
            )
        data, module = task.data, task.datamodule
        knowledge = knowledge_of(data.dataset.entities, data.texts, data.dataset.image_root)
        vectors = task.kb_vectors.float().cpu().numpy()
        has_vector = np.flatnonzero(np.abs(vectors).sum(1) > 0)
        entities = list(knowledge)
        ranker = ranker_of_run(run, task)
        about = {
            "dataset": data.dataset.name,
            "kb_hash": data.dataset.kb_hash,
            "licence": data.dataset.meta.get("licence"),
            "run": run.name,
            "recipe": recipe_of_run(run),
            "figures": figures_of_run(run, ranker),
        }
        linker = cls(
            Towers(task, live_encoder(module)),
            knowledge,
            VectorIndex.build(vectors[has_vector], has_vector, kind=index),
            EntityNames([entity.name for entity in entities], [entity.aliases for entity in entities]),
            ranker,
            about,
        )
        linker.run = Path(run)
        return linker

    def save(
        self,
        folder: str | Path,
        images: KeptImages | None = None,
        overwrite: bool = False,
        trusted: Sequence[str] = (),
        check: Callable[[Path], None] | None = None,
    ) -> None:
        """Writes the linker with its KB, index and local encoders into one folder, without pickle.

        The folder is new, empty, or the one that this linker was opened from or last saved to, which is brought up to
        date. It is replaced in one step: killed at any moment, the old or the new folder is there. A linker that was
        opened from it before, such as a server's, goes on answering as it did until it is opened again: the files that
        it has mapped live on. The KB's copied images, which no answer needs, are read from the new folder then, but by
        `dim serve`, which keeps those of the old one.

        Args:
            folder: Where it shall stand.
            images: `copies` of the KB's images, which go where the folder goes, their `paths` here, which whoever
                opens it follows with `image_root` alone, or `none`; None: as in the folder that it came from, else
                paths. No answer needs them; a page shows them. Only what decodes as an image is copied.
            overwrite: Whether another linker that stands there may be replaced.
            trusted: What the names of classes outside dim may begin with, such as `my_package.`; whoever loads the
                folder says the same.
            check: Is given the finished folder before it takes its place, such as `dim.linker.reopened.check_opens`;
                where it raises, what stood there stays.

        Raises:
            ConfigError: Something else stands there, or another process writes it.
            DataError: A class is neither dim's nor trusted, or pickled weights cannot be written as safetensors.
        """
        folder = check_path(folder, "the folder to write")
        check_images(images)
        about = about_saved(self.about, images, trusted)
        with self.saved_at(folder, overwrite) as place:
            write(place, self.towers, self.knowledge, self.index, self.names, self.ranker, about, check)

    @contextmanager
    def saved_at(self, folder: Path, overwrite: bool) -> Iterator[Path]:
        """Yields the empty folder that becomes `folder`, where the linker may be saved there."""
        is_home = self.home is not None and folder.resolve() == self.home
        sources = [place for place in (self.run, None if is_home else self.home) if place is not None]
        with output_folder(
            folder, LINKER, "a save of a linker", sources=sources, overwrite=overwrite or is_home
        ) as new:
            yield new
        self.home = folder.resolve()

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> Any:
        """As `save`, with the hub's name and options; the mixin's own would remove a config.json that stands there.

        Raises:
            ConfigError: Something else stands there.
        """
        place = Path(save_directory)
        check_target(place, LINKER, overwrite=self.home is not None and place.resolve() == self.home)
        return super().save_pretrained(save_directory, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        # For push_to_hub, which makes a folder of its own first. Its config would say what `save` says, with paths of
        # this machine.
        self._hub_mixin_config = None
        home = self.home
        self.save(save_directory, "copies" if self.about.get("images") == "copies" else "none")
        self.home = home  # the mixin's folder goes again

    @classmethod
    def from_pretrained(  # type: ignore[override]  # positional, and without the mixin's older options
        cls,
        folder_or_id: str | Path,
        device: str = "auto",
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        trusted: Sequence[str] = (),
        image_root: str | Path | None = None,
    ) -> Linker:
        """The linker in a folder that `save` wrote, or on the Hugging Face hub.

        Args:
            folder_or_id: The folder, or the id of a repository.
            device: Where towers and encoders compute.
            revision: A branch, tag or commit on the hub.
            cache_dir: Where what is downloaded is kept.
            token: For a private repository.
            trusted: What the names of classes outside dim may begin with, such as `my_package.`: they are imported, and
                run what they like.
            image_root: Where the KB's images stand that are not in the folder (`save` with `images="paths"`); without
                it the entities have none of these.

        Raises:
            DataError: There is no linker, a damaged one, one of another format, or one that names classes which are
                neither dim's nor trusted.
        """
        check_name(folder_or_id)
        resolve_device(device)  # before anything is read
        folder = folder_of(folder_or_id, revision=revision, cache_dir=cache_dir, token=token)
        check_linker(folder)
        if is_generative(folder):
            linker: Linker = _generative().from_pretrained(folder, device, trusted=trusted, image_root=image_root)
        else:
            linker = cls(*read(folder, device, trusted, image_root))
        linker.about = noted_commit(linker.about, folder_or_id, folder)
        linker.home = folder.resolve()
        return linker

    def __len__(self) -> int:
        return len(self.knowledge)

    @property
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""
        return self.towers.reads_images

    @property
    def image_reader(self) -> ImageReader:
        """Makes the images of questions ready, which may be done in another thread than the linker answers in."""
        return self.towers.image_reader

    def link(
        self,
        mention: str,
        context: str = "",
        image: ImageInput | Sequence[ImageInput] | None = None,
        candidates: str | Iterable[str] | None = None,
        top_k: int = 5,
    ) -> list[Answer]:
        """The entities that a mention may mean, best first.

        Args:
            mention: The name as it stands in the text; may be empty where there is an image.
            context: The text around it; without one the name alone counts. NaN, as pandas has it, is none.
            image: A path, the bytes of an image file, or an opened Pillow image; of several the first usable one.
            candidates: Ids of the entities that compete; None: the whole KB. A text is one id, or several with `|`.
            top_k: Answers at most. A linker with a ranker gives at most as many as it has candidates, which are twice
                the `num_candidates` of `dim rank` at most; a generative one as many as its beams find.

        Raises:
            DataError: Nothing is asked, a candidate is not in the KB, or the image cannot be used.
        """
        question = asked(mention, context, image, candidates)
        with asked_alone():
            return self.link_batch([question], top_k)[0]

    def link_batch(self, questions: Iterable[Asking], top_k: int = 5) -> list[list[Answer]]:
        """The answers to many questions, in their order; each is what `link` gives.

        Args:
            questions: Each a `Question`, a mapping of what `dim prepare` takes as columns of mentions (`mention`,
                `context`, `image`, `candidates`; `start` and `end` are checked, others are not read), a
                `dim.data.dataset.Mention`, or a name alone. Or a DataFrame with these columns, in any case.
            top_k: Answers a question at most.

        Raises:
            DataError: As `link`; the message names the question.
            ConfigError: `top_k` is no whole number of at least 1.
        """
        top_k = check_top_k(top_k)
        given = [shortened(question) for question in questions_of(questions)]
        answers: list[list[Answer]] = []
        for start in range(0, len(given), BATCH):
            try:
                answers += self._link(given[start : start + BATCH], top_k)
            except QuestionError as error:
                raise QuestionError(start + error.place, error.plain) from error.plain.__cause__
        return answers

    def annotate(self, text: str, spans: Spans, image: ImageInput | None = None, top_k: int = 5) -> list[Annotation]:
        """The answers to mentions that are marked in a text, in the order of the spans.

        Each is what `link` gives for what stands there, with its sentence as context (`sentence_around`).

        Args:
            text: May be of any length.
            spans: Pairs of places, of a mention's first character and after its last; they may overlap. Or one pair.
            image: Belongs to every mention.
            top_k: Answers a mention at most.

        Raises:
            DataError: A span marks no name in the text, or the image cannot be used; the message names the span.
        """
        marked = marked_questions(text, spans, image)
        try:
            found = self.link_batch([question for _, _, question in marked], top_k)
        except QuestionError as error:
            plain = error.plain
            where = f"{plain.expected}, for spans[{error.place}]"
            raise DataError(where, plain.found, plain.remedy) from plain.__cause__
        return [
            Annotation(start, end, question.mention, answers)
            for (start, end, question), answers in zip(marked, found, strict=True)
        ]

    def add_entities(self, entities: Given | Iterable[Given]) -> None:
        """Makes entities linkable at once, without training.

        Args:
            entities: Each a `KnownEntity`, a mapping of what `dim prepare` takes as columns of entities (`id`, `name`;
                `description` or `text`, `aliases`, `image` or `images`, `type`, `popularity` where known; others are
                not read), or a `dim.Entity`. Or a DataFrame with these columns, in any case. A text of several
                aliases or images has `|` between them; `;` is read as `dim prepare` reads it, and a warning says so.

        Raises:
            DataError: An id is there already or twice, an entity has no name, or an image cannot be used; nothing is
                added then.
        """
        given = entities_of(entities)
        self.knowledge.check_new(given)
        if given:
            self._add(given, self._encoded(given))

    def _add(self, given: list[KnownEntity], vectors: NDArray[np.float32]) -> None:
        has_vector = np.abs(vectors).sum(1) > 0
        rows = self.knowledge.add(given)
        try:
            self.index.add(rows[has_vector], vectors[has_vector])
            try:
                self.names.add([entity.name for entity in given], [entity.aliases for entity in given])
            except BaseException:
                self.index.remove(rows[has_vector])
                raise
        except BaseException:  # no memory, or Ctrl-C: all of them or none
            self.knowledge.forget(rows)
            raise
        self._features = None

    def remove_entities(self, ids: str | Iterable[str]) -> None:
        """Takes entities out of the KB.

        Args:
            ids: Of the entities, or of one.

        Raises:
            DataError: The KB lacks one; nothing is removed then.
        """
        rows = self.knowledge.remove(ids_of(ids, "what is removed"))
        self.index.remove(rows[self.index.has(rows)])
        self.names.remove(rows)
        self._features = None

    def rebuild_index(self, kind: KindOrAuto = "auto") -> None:
        """Builds the index anew, of the vectors that it has; IVF and HNSW keep them rounded to half precision.

        Args:
            kind: `auto`, `exact`, `flat`, `ivf` or `hnsw`.

        Raises:
            ConfigError: There is no such kind.
            DataError: There is no entity.
        """
        check_kind(kind)
        if not len(self):
            raise DataError("entities to build an index of", "none", "Add some first.")
        ids = self.index.ids
        self.index = VectorIndex.build(self.index.vectors_of(ids), ids, kind=kind)

    def _encoded(self, entities: Sequence[KnownEntity]) -> NDArray[np.float32]:
        """Vectors [n, width] of entities, at least one; zeros for one that has none."""
        parts = [self.towers.entities(entities[start : start + BATCH]) for start in range(0, len(entities), BATCH)]
        return np.concatenate(parts)

    def _link(self, questions: Sequence[Question], top_k: int) -> list[list[Answer]]:
        queries = self.towers.queries(questions)
        # A ranker orders as many as it was trained with: more would change what it says of the first.
        count = NUM_CANDIDATES if self.ranker is None else int(self.ranker.facts["num_candidates"])
        least = count if self.ranker is not None else max(count, min(top_k, len(self)))
        _, nearest = self.index.search(queries, least)
        found = []
        for place, (question, query, by_vector) in enumerate(zip(questions, queries, nearest, strict=True)):
            with of_question(place):
                found.append(self._found(question, query, by_vector, count, least))
        if self.ranker is None:
            return [self._by_vectors(candidates, top_k) for candidates in found]
        if not self._told_few:
            self._told_few = told_few(questions, found, min(top_k, len(self)))
        features = [self._describe(question, part) for question, part in zip(questions, found, strict=True)]
        parts = zip((part.rows for part in found), features, [-1] * len(found), strict=True)
        judged = self.ranker.judge(Lists.join(parts))
        for place, verdict in enumerate(judged):
            check_finite(place, [*verdict.scores, verdict.nil_probability or 0.0], "the ranker's scores")
        return [
            self._by_ranker(part, described, verdict, top_k)
            for part, described, verdict in zip(found, features, judged, strict=True)
        ]

    def _found(
        self, question: Question, query: NDArray[np.float32], by_vector: Rows, count: int, least: int
    ) -> Candidates:
        if question.candidates is not None:
            rows = np.unique(np.array([self.knowledge.row(entity_id) for entity_id in question.candidates], np.int64))
        else:
            by_vector = by_vector[by_vector >= 0]
            rows = unite(by_vector[:count], question.mention, self.names, count)
            if (lacking := least - len(rows)) > 0:
                rows = np.union1d(rows, by_vector[~np.isin(by_vector, rows)][:lacking])
        vectors = self.index.scores_of(query[None], rows[None], missing=0.0)[0]
        return Candidates(rows, vectors, self.names.scores_of([question.mention], rows[None])[0])

    def _describe(self, question: Question, found: Candidates) -> NDArray[np.float64]:
        """The ranker's features [c, num_features] of a question's candidates."""
        if not len(found.rows):
            return np.empty((0, len(FEATURES)))
        has_image = question.image is not None
        has_caption = has_image and self.towers.live.captioner is not None
        facts = Asked(question.mention, question.context, has_image, has_caption)
        return self.features.of(facts, found.rows, found.vectors.astype(np.float64), found.names.astype(np.float64))

    @property
    def features(self) -> PairFeatures:
        """What the ranker reads of the KB as it is."""
        if self._features is None:
            known = [self.knowledge.entities.get(row) for row in range(self.knowledge.next_row)]
            facts = EntityFacts(
                [entity.name if entity else "" for entity in known],
                [entity.aliases if entity else () for entity in known],
                [entity.text if entity else None for entity in known],
                np.array([entity.popularity if entity else None for entity in known], dtype=np.float64),
            )
            self._features = PairFeatures(facts)
        return self._features

    def _by_vectors(self, found: Candidates, top_k: int) -> list[Answer]:
        return [
            self._answer(
                int(found.rows[place]),
                float(found.vectors[place]),
                {"vectors": found.vectors[place], "name": found.names[place]},
            )
            for place in np.lexsort((found.rows, -found.vectors))[:top_k]
        ]

    def _by_ranker(self, found: Candidates, features: NDArray[np.float64], judged: Judged, top_k: int) -> list[Answer]:
        assert self.ranker is not None
        missing = judged.nil_probability or 0.0
        answers = [
            self._answer(
                int(found.rows[place]),
                float(judged.scores[place]),
                dict(zip(self.ranker.names, features[place], strict=True)),
                float(judged.probabilities[place]) * (1 - missing),
            )
            for place in judged.order[:top_k]
        ]
        if judged.says_nil:
            answers.insert(0, Answer(NIL, NIL, None, 0.0, missing))
        return answers[:top_k]

    def _answer(self, row: int, score: float, evidence: Mapping[str, Any], probability: float | None = None) -> Answer:
        entity = self.knowledge.entities[row]
        parts = {name: float(value) for name, value in evidence.items()}
        return Answer(entity.id, entity.name, entity.text, score, probability, parts, entity.images)


def about_saved(about: dict[str, Any], images: KeptImages | None, trusted: Sequence[str]) -> dict[str, Any]:
    """What a linker's folder says of where it comes from, with what `save` was told."""
    told = {"images": images} if images else {}
    all_trusted = dict.fromkeys((*about.get("trusted", ()), *packages(trusted)))
    return about | told | ({"trusted": list(all_trusted)} if all_trusted else {})


def _generative() -> type[GenerativeLinker]:
    from dim.linker.generative import GenerativeLinker  # it is a Linker, and imports this file

    return GenerativeLinker
