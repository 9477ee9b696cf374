"""The one inference path: a mention in, ranked entities with their evidence out; each method has its own linker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from dim.core.arrays import Rows
from dim.core.known_classes import packages
from dim.core.output import output_folder
from dim.core.plugins import RUNS, loaded
from dim.core.replaced import of_one_folder
from dim.data.entity import Entity
from dim.display.counts import count_of
from dim.encoders.base import ImageEncoder, TextEncoder
from dim.encoders.device import resolve_device
from dim.errors import ConfigError, DataError
from dim.features.live import ImageInput, LiveEncoder
from dim.inference.method import Method
from dim.inference.places import JUDGE_FOLDER, STEADY
from dim.judge.contract import Judge
from dim.judge.folder import SAVED
from dim.judge.stage import JudgeStage
from dim.linker.annotate import MOST_SENTENCES, Annotation, Spans
from dim.linker.answer import Answer, Asking, Question, QuestionError, asked, asked_alone, questions_of, shortened
from dim.linker.answers import Answers
from dim.linker.documents import Document, annotated, annotated_batch
from dim.linker.documents import Given as GivenDocument
from dim.linker.entity_table import KeptImages, check_images
from dim.linker.figures import with_judge
from dim.linker.finders import DictionaryFinder, MentionFinder
from dim.linker.folder import LINKER, MANIFEST
from dim.linker.given import check_path, check_top_k, ids_of
from dim.linker.images import ImageReader, told_unseen
from dim.linker.judged import reader_for, stage_for, told_of
from dim.linker.kinds import kind_of_folder, kind_of_task
from dim.linker.knowledge import Given, Knowledge, entities_of
from dim.linker.places import check_linker, check_name, run_folder
from dim.linker.sources import folder_of, noted_commit, pushed
from dim.linker.together import Together
from dim.reranker.ranker import Ranker
from dim.search.stores import Storage
from dim.search.vector_index import KindOrAuto, VectorIndex, check_kind, check_storage

BATCH = 256


class Linker(ABC):
    """Links mentions to the entities of its KB, which may grow and shrink without training.

    Made by `from_checkpoint` (a run of `dim fit`) or `from_pretrained` (what `save` wrote): the linker of the run's
    method. A method's own linker says what is abstract here, and its package names it by an entry point of the
    group `dim.linkers`.

    Attributes:
        method: The method whose runs it answers for, with its subclasses that have no linker of their own.
        content: What the manifest of its folder calls it.
        knowledge: The KB.
        live: The encoders that questions go through.
        about: What it comes from; JSON.
        index: Of the KB's vectors; None: it searches none.
        home: The folder that it was opened from or last saved to.
        run: The run that it was made of.
        ranker: Orders the candidates; None: the method's scores do.
        judge: Reads the mentions that its ranker is not sure of beside their best candidates; None: nothing does.

    Example:
        >>> linker = Linker.from_checkpoint("runs/wikimel")  # doctest: +SKIP
        >>> for answer in linker.link("Jordan", "Jordan won six titles with the Bulls."):  # doctest: +SKIP
        ...     print(answer.name, answer.score, answer.evidence)
    """

    method: ClassVar[type[Method]]
    content: ClassVar[str]
    index: VectorIndex | None = None
    home: Path | None = None
    run: Path | None = None
    ranker: Ranker | None = None
    judge: JudgeStage | None = None
    _told_unseen = False

    def __init__(self, knowledge: Knowledge, live: LiveEncoder, about: dict[str, Any]) -> None:
        self.knowledge, self.live, self.about = knowledge, live, about

    # What a method's linker says.

    @classmethod
    @abstractmethod
    def of_run(cls, task: Method, run: Path, index: KindOrAuto = "auto") -> Linker:
        """The linker of an opened run.

        Args:
            task: The run's method, of `method`, with its weights and data.
            run: Its folder.
            index: As of `from_checkpoint`.

        Raises:
            ConfigError: The run's options leave it none.
        """

    @classmethod
    @abstractmethod
    def read(cls, folder: Path, device: str, trusted: Sequence[str], image_root: str | Path | None) -> Linker:
        """The linker of a folder that `write` filled; as `from_pretrained`."""

    @abstractmethod
    def write(self, place: Path, about: dict[str, Any]) -> None:
        """Writes all of it into an empty folder, and seals it with the manifest (`dim.core.sealed.seal`).

        Args:
            place: The folder.
            about: What the manifest says of where it comes from.

        Raises:
            DataError: As `save`.
        """

    @abstractmethod
    def _link(self, questions: Sequence[Question], top_k: int) -> list[list[Answer]]:
        """The answers to at most `BATCH` questions, at most `top_k` each, best first.

        Where a question has `candidates`, these alone compete. Its image is made ready by `image_reader`. Scores are
        finite (`dim.linker.answer.check_finite`).

        Raises:
            QuestionError: One of them is at fault (`dim.linker.answer.of_question`).
        """

    @abstractmethod
    def _index(self, rows: Rows, entities: list[Entity]) -> None:
        """Puts new entities into what is searched, all or none: where it raises, they leave the KB again.

        Args:
            rows: [n], at least one: where `knowledge` has them already.
            entities: [n].
        """

    @abstractmethod
    def _forget(self, rows: Rows) -> None:
        """Takes rows [n] out of what is searched; they have left the KB already."""

    @property
    @abstractmethod
    def reads_images(self) -> bool:
        """Whether a mention's image counts."""

    @property
    @abstractmethod
    def image_reader(self) -> ImageReader:
        """Makes the images of questions ready, which may be done in another thread than the linker answers in."""

    @property
    @abstractmethod
    def has_probabilities(self) -> bool:
        """Whether answers have one."""

    @property
    @abstractmethod
    def evidence(self) -> Mapping[str, str]:
        """What the evidence of its answers means, by its names."""

    # What all of them do.

    @classmethod
    def from_checkpoint(
        cls,
        run: str | Path,
        device: str = "auto",
        index: KindOrAuto = "auto",
        dataset: str | Path | None = None,
        trusted: Sequence[str] = (),
        judge: JudgeStage | Judge | str | None = SAVED,
    ) -> Linker:
        """The linker of a trained run, with the KB of its dataset.

        Args:
            run: A folder that `dim fit` wrote.
            device: Where the method computes.
            index: `auto`, `exact`, `flat`, `ivf` or `hnsw`; without effect where no vectors are searched.
            dataset: Where the run's dataset stands now, if it has moved.
            trusted: What the names of classes outside dim may begin with, such as `my_package.`: they are imported, and
                run what they like.
            judge: As of `from_pretrained`; `dim judge` sets it up.

        Raises:
            ConfigError: There is no trained run, its method has no linker or another one, or there is no such index or
                device.
            CheckpointError: The run's data changed since.
            DataError: The dataset is not where it was, or `dataset` is another one; or the run names classes which are
                neither dim's nor trusted, or others took its place each time that it was opened.
        """
        check_kind(index)
        run = run_folder(run)
        resolve_device(device)
        open_run: Callable[..., Method] = next(loaded(RUNS, lambda found: found))

        def opened() -> Linker:
            task = open_run(run, device, None if dataset is None else Path(dataset), trusted)
            kind = cls._kind(kind_of_task(task, str(run)), f"{type(task).__name__} at {run}", "from_checkpoint")
            linker = kind.of_run(task, run, index)
            linker.judge = stage = stage_for(linker, run / JUDGE_FOLDER, judge, device, trusted, is_ours=True)
            if stage is not None:
                assert linker.ranker is not None  # there is no judge without one
                figures = with_judge(linker.about["figures"], run, stage, linker.ranker)
                linker.about = linker.about | {"figures": figures}
            return linker

        linker = of_one_folder(run, STEADY, "a run", opened)
        linker.run = run
        return linker

    @classmethod
    def from_entities(
        cls,
        entities: str | Path | Given | Iterable[Given],
        text_encoder: TextEncoder | None = None,
        image_encoder: ImageEncoder | None = None,
        ranker: Ranker | Literal["shipped"] | None = "shipped",
        index: KindOrAuto = "auto",
        trusted: Sequence[str] = (),
        **how: Any,
    ) -> Linker:
        """A linker of entities alone, without a mention and without training.

        Names and aliases count, and with an encoder frozen vectors of names, texts and images. The ranker that dim
        ships weighs them; its probabilities are calibrated on public mentions (`calibrated_on`), not on yours.

        Args:
            entities: The path of a table as `dim prepare` reads `entities` (CSV, Excel, JSON, Parquet), or of a dataset
                folder; or a DataFrame or rows as `add_entities` takes them.
            text_encoder: Of mentions, contexts, names and texts; None: words and letters alone count.
            image_encoder: Of mentions' and entities' images; of one space with the text encoder's (`OpenClipEncoder`).
            ranker: What orders the candidates; None: the cosines do, and answers have no probability.
            index: As of `from_checkpoint`.
            trusted: What the names of classes outside dim may begin with, such as `my_package.`: encoders of your own.
            **how: How a path is read: `images`, `encoding`, `list_separator`, `allow_missing`, `entity_text`
                (`dim.releases.entity_file.read_entities`).

        Raises:
            DataError: An entity cannot be read (the message names its row), or more than a quarter of the images.
            ConfigError: The encoders are of different spaces, or an option does not go with what is given.
        """
        from dim.linker.untrained import (  # they know the kinds of linkers
            given_knowledge,
            opened,
            ranker_for,
            recipe_of,
        )

        check_kind(index)
        knowledge, told = given_knowledge(entities, image_encoder is not None, **how)
        recipe = recipe_of(knowledge, text_encoder, image_encoder)
        found, task, live = opened(recipe, text_encoder, image_encoder, trusted)
        kind: Any = cls._kind(found, "an untrained linker", "from_entities")
        about = told | {"recipe": recipe, "figures": [], "is_untrained": True, "trusted": list(packages(trusted))}
        used = ranker_for(recipe) if ranker == "shipped" else ranker
        linker: Linker = kind.of_knowledge(task, live, knowledge, about, used, index)
        return linker

    @property
    def calibrated_on(self) -> str:
        """What its probabilities are calibrated on, where that is other data than its own; empty elsewhere."""
        return ""

    @classmethod
    def _kind(cls, kind: type[Linker], found: str, way: str) -> type[Linker]:
        """The class that opens what is there: this one, where it is of that kind or a subclass of it."""
        if issubclass(cls, kind):
            return cls
        if not issubclass(kind, cls):
            remedy = f"Use Linker.{way}: it opens every kind."
            raise ConfigError(f"what a {cls.__name__} answers for", f"{found}, for a {kind.__name__}", remedy)
        return kind

    def save(
        self,
        folder: str | Path,
        images: KeptImages | None = None,
        overwrite: bool = False,
        trusted: Sequence[str] = (),
        check: Callable[[Path], None] | None = None,
    ) -> None:
        """Writes the linker with its KB, its model and local encoders into one folder, without pickle.

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
        about = about | {"judge": None if self.judge is None else told_of(self.judge)}
        with self.saved_at(folder, overwrite) as place:
            self.write(place, about)
            if check is not None:
                check(place)

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

    def push_to_hub(
        self,
        repo_id: str,
        *,
        trusted: Sequence[str] = (),
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        commit_message: str = "A linker of dim",
        create_pr: bool = False,
    ) -> str:
        """Saves the linker to a repository on the Hugging Face hub, which is made where it is not there.

        Images go with it where the linker keeps copies; paths of this machine stay here.

        Args:
            repo_id: Its id, such as `you/my-linker`.
            trusted: As of `save`.
            private: Whether a new repository is private; None: as its owner's are by default.
            token: Of the hub; None: that of the login.
            branch: Where the commit goes; None: main.
            commit_message: Of the commit.
            create_pr: Make it a pull request.

        Returns:
            The address of the commit.
        """
        return pushed(self, repo_id, trusted, private, token, branch, commit_message, create_pr)

    @classmethod
    def from_pretrained(
        cls,
        folder_or_id: str | Path,
        device: str = "auto",
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        trusted: Sequence[str] = (),
        image_root: str | Path | None = None,
        judge: JudgeStage | Judge | str | None = SAVED,
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
            judge: Who judges the mentions that the ranker is not sure of: `saved`: the judge that the folder has, if
                any; None: nobody; the URL of the server that has its model, or a judge in its place that is the same
                (`ServerJudge`); or a stage of your own.

        Raises:
            DataError: There is no linker, a damaged one, one of another format, one that names classes which are
                neither dim's nor trusted, or others took the folder's place each time that it was opened.
            ConfigError: It is of another kind than this class.
        """
        check_name(folder_or_id)
        resolve_device(device)  # before anything is read
        folder = folder_of(folder_or_id, revision=revision, cache_dir=cache_dir, token=token)

        def opened() -> Linker:
            check_linker(folder)
            kind = cls._kind(kind_of_folder(folder, MANIFEST), f"the linker in {folder}", "from_pretrained")
            linker = kind.read(folder, device, trusted, image_root)
            linker.judge = stage_for(linker, folder / JUDGE_FOLDER, judge, device, trusted)
            return linker

        linker = of_one_folder(folder, (MANIFEST,), "a linker's folder", opened)
        # What a folder says of trust is for people; the caller's word counts.
        linker.about = linker.about | {"trusted": list(packages(trusted))}
        linker.about = noted_commit(linker.about, folder_or_id, folder)
        linker.home = folder.resolve()
        return linker

    @property
    def question_reader(self) -> ImageReader:
        """Makes the images of questions ready for its encoders, and for its judge, where that sees images."""
        reader = self.image_reader
        return reader if self.judge is None else reader_for(self.judge, reader)

    @property
    def context_sentences(self) -> int:
        """Of a mention's context in a text: as many as half of the contexts have that it was trained on, mostly 1."""
        return min(max(int(self.about.get("context_sentences", 1)), 1), MOST_SENTENCES)

    def __len__(self) -> int:
        return len(self.knowledge)

    def __iter__(self) -> Iterator[Entity]:
        return iter(self.knowledge)

    def __contains__(self, entity_id: object) -> bool:
        return isinstance(entity_id, str) and entity_id in self.knowledge

    def __getitem__(self, entity_id: str) -> Entity:
        """The entity of an id. Raises DataError where the KB lacks it."""
        return self.knowledge.entities[self.knowledge.row(entity_id)]

    def __repr__(self) -> str:
        whose = self.about.get("dataset") or self.about.get("run") or "no dataset"
        return f"{type(self).__name__}({count_of(len(self), 'entity')}, {whose})"

    def link(
        self,
        mention: str,
        context: str = "",
        image: ImageInput | Sequence[ImageInput] | None = None,
        candidates: str | Iterable[str] | None = None,
        top_k: int = 5,
    ) -> Answers:
        """The entities that a mention may mean, best first.

        Args:
            mention: The name as it stands in the text; may be empty where there is an image.
            context: The text around it; without one the name alone counts. NaN, as pandas has it, is none.
            image: A path, the bytes of an image file, or an opened Pillow image; of several the first usable
                ones, as many as the run was fitted with (`num_images`, 1 by default).
            candidates: Ids of the entities that compete; None: the whole KB. A text is one id, or several with `|`.
            top_k: Answers at most. A linker with a ranker gives at most as many as it has candidates, which are twice
                the `num_candidates` of `dim rank` at most; a generative one as many as its beams find.

        Raises:
            DataError: Nothing is asked, a candidate is not in the KB, or the image cannot be used.
        """
        question = asked(mention, context, image, candidates)
        with asked_alone():
            return self.link_batch([question], top_k)[0]

    def link_batch(self, questions: Iterable[Asking], top_k: int = 5) -> list[Answers]:
        """The answers to many questions, in their order; each is what `link` gives.

        Args:
            questions: Each a `Question`, a mapping of what `dim prepare` takes as columns of mentions (`mention`,
                `context`, `start`, `end`, `image`, `candidates`; others are not read), a
                `dim.data.dataset.Mention`, or a name alone. Or a DataFrame with these columns, in any case.
            top_k: Answers a question at most.

        Raises:
            DataError: As `link`; the message names the question.
            ConfigError: `top_k` is no whole number of at least 1.
        """
        top_k = check_top_k(top_k)
        given = [shortened(question, self.live.cuts_contexts) for question in questions_of(questions)]
        sees = self.reads_images or (self.judge is not None and self.judge.judge.reads_images)
        self._told_unseen = self._told_unseen or (not sees and told_unseen(given))
        answers: list[Answers] = []
        for start in range(0, len(given), BATCH):
            try:
                answers += map(Answers, self._link(given[start : start + BATCH], top_k))
            except QuestionError as error:
                raise QuestionError(start + error.place, error.plain) from error.plain.__cause__
        return answers

    def annotate(
        self,
        text: str,
        spans: Spans | None = None,
        image: ImageInput | Sequence[ImageInput] | None = None,
        top_k: int = 5,
        finder: MentionFinder | None = None,
        collective: bool = False,
    ) -> list[Annotation]:
        """The answers to the mentions of a text, in the order of the spans.

        Each is what `link` gives for what stands there, with its sentence as context, or as many sentences around it as
        the linker was trained on (`context_sentences`).

        Args:
            text: May be of any length.
            spans: Pairs of places, of a mention's first character and after its last; they may overlap. Or one pair.
                None: the finder says where mentions stand.
            image: Belongs to every mention; as of `link`.
            top_k: Answers a mention at most.
            finder: Finds the mentions (`dim.linker.finders`, or any object with `find`); None: `name_finder`.
            collective: Whether mentions are answered together, so that entities that go together are likelier; what
                counts how much, `dim collective` has learned.

        Raises:
            DataError: A span marks no name in the text, or the image cannot be used; the message names the span.
            ConfigError: Both spans and a finder are given; or `collective`, and nothing was learned for it.
        """
        return annotated(self, Document(text, spans, image), top_k, finder, collective)

    def annotate_batch(
        self,
        documents: Iterable[GivenDocument],
        top_k: int = 5,
        finder: MentionFinder | None = None,
        collective: bool = False,
    ) -> list[list[Annotation]]:
        """The answers to the mentions of many texts, in their order; each is what `annotate` gives.

        Args:
            documents: Each a text, a mapping of `text`, `spans` and `image`, or a `Document`. Or a DataFrame with these
                columns.
            top_k: Answers a mention at most.
            finder: Finds the mentions of the texts without spans; None: `name_finder`.
            collective: As of `annotate`, the mentions of each text together.

        Raises:
            DataError: As `annotate`; the message names the document.
            ConfigError: As `annotate`.
        """
        return annotated_batch(self, documents, top_k, finder, collective)

    def together(self) -> Together:
        """What answers the mentions of a text together.

        Raises:
            ConfigError: Nothing was learned for it.
        """
        remedy = "Run dim collective RUN, then dim export; or leave collective out."
        raise ConfigError("a linker that has learned to answer a text's mentions together", "none", remedy)

    @cached_property
    def name_finder(self) -> DictionaryFinder:
        """Finds the names and aliases of its KB, as that is, in texts."""
        return DictionaryFinder(self.knowledge)

    def add_entities(self, entities: Given | Iterable[Given]) -> None:
        """Makes entities linkable at once, without training.

        Args:
            entities: Each a `dim.Entity`, or a mapping of what `dim prepare` takes as columns of entities (`id`,
                `name`; `description` or `text`, `aliases`, `image` or `images`, `type`, `popularity` where known;
                others are not read). Or a DataFrame with these columns, in any case. A text of several aliases or
                images has `|` between them; `;` is read as `dim prepare` reads it, and a warning says so.

        Raises:
            DataError: An id is there already or twice, an entity has no name, or an image cannot be used; nothing is
                added then.
        """
        given = entities_of(entities)
        if not given:
            return
        rows = self.knowledge.add(given)
        try:
            self._index(rows, given)
        except BaseException:  # no memory, or Ctrl-C: all of them or none
            self.knowledge.forget(rows)
            raise

    def remove_entities(self, ids: str | Iterable[str]) -> None:
        """Takes entities out of the KB.

        Args:
            ids: Of the entities, or of one.

        Raises:
            DataError: The KB lacks one; nothing is removed then.
        """
        self._forget(self.knowledge.remove(ids_of(ids, "what is removed")))

    def rebuild_index(self, kind: KindOrAuto = "auto", storage: Storage = "float16") -> None:
        """Builds the index anew, of the vectors that it has; IVF and HNSW keep them rounded to half precision.

        Args:
            kind: `auto`, `exact`, `flat`, `ivf` or `hnsw`.
            storage: Of a coordinate in IVF and HNSW: `float16`, `int8`, or, of IVF alone, `int4` in memory beside
                float16 on the disk (`VectorIndex.build`).

        Raises:
            ConfigError: There is no such kind or storage, or this linker searches no vectors.
            DataError: There is no entity.
        """
        check_kind(kind)
        check_storage(storage, kind)
        if self.index is None:
            remedy = "Leave it out: what it searches is always up to date."
            raise ConfigError("a linker that searches vectors", f"a {self.content}", remedy)
        if not len(self):
            raise DataError("entities to build an index of", "none", "Add some first.")
        ids = self.index.ids
        queries = self.index.recall_queries
        self.index = VectorIndex.build(self.index.vectors_of(ids), ids, kind, queries, storage=storage)


def about_saved(about: dict[str, Any], images: KeptImages | None, trusted: Sequence[str]) -> dict[str, Any]:
    """What a linker's folder says of where it comes from, with what `save` was told."""
    told = {"images": images} if images else {}
    all_trusted = dict.fromkeys((*about.get("trusted", ()), *packages(trusted)))
    return about | told | ({"trusted": list(all_trusted)} if all_trusted else {})
