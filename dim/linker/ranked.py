"""Linkers of methods that score entities: scores and names bring candidates, a ranker orders them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dim.collective.coherence import Coherence
from dim.collective.collective import Collective
from dim.core.arrays import Doubles, Rows
from dim.data.dataset import NIL
from dim.data.entity import Entity
from dim.display.log import log
from dim.display.markdown import markdown_text
from dim.errors import DataError
from dim.features.live import LiveEncoder
from dim.inference.places import JUDGE_FOLDER, RANKER_FOLDER
from dim.inference.scored import Scored
from dim.judge.contract import Verdict
from dim.judge.folder import save_stage
from dim.linker.answer import Answer, Question, check_finite, of_question
from dim.linker.folder import REMEDY
from dim.linker.judged import EVIDENCE as OF_JUDGE
from dim.linker.judged import ask, evidence_of
from dim.linker.knowledge import Knowledge
from dim.linker.linker import Linker
from dim.linker.together import Together
from dim.reranker.candidates import competing
from dim.reranker.entities import EntityFacts
from dim.reranker.fact_files import load_facts, save_facts
from dim.reranker.features import FEATURES, Asked, PairFeatures
from dim.reranker.lists import Lists
from dim.reranker.ranker import Judged, Ranker
from dim.reranker.shipped import ORIGIN, calibrated_on
from dim.search.entity_names import EntityNames

LOG = log("dim")
FACTS, NAMES = "facts", "names"  #: Folders of a linker's, beside those of ranker and judge, which it has as a run has.
NUM_CANDIDATES = 32  #: That each of scores and names brings; a ranker says how many it was trained with.


@dataclass(frozen=True)
class Candidates:
    """What competes for a question.

    Attributes:
        rows: [c] int64, rows of the KB, ascending.
        scores: [c] float32, the method's; 0 for an entity that it cannot score.
        names: [c] float32, cosines of the character n-grams of the mention and the entity's nearest name.
    """

    rows: Rows
    scores: NDArray[np.float32]
    names: NDArray[np.float32]


class RankedLinker(Linker):
    """A linker whose method says how it scores questions with the KB (`_score`); the rest is here.

    Args:
        knowledge: The KB.
        live: The encoders that questions go through.
        about: What it comes from; JSON.
        names: Of its names and aliases, by row; None: they are indexed at the first question that needs them.
        ranker: Orders the candidates; None: the method's scores do.
        facts: Of its entities, for the ranker; None: they are worked out at the first question.
    """

    vectors_of: Callable[[Rows], NDArray[np.float32]] | None = None  #: Of rows [m], [m, d], if it has any.
    score_name = "vectors"  #: What the evidence of an answer calls the method's score, where there is no ranker.

    def __init__(
        self,
        knowledge: Knowledge,
        live: LiveEncoder,
        about: dict[str, Any],
        names: EntityNames | None,
        ranker: Ranker | None,
        facts: EntityFacts | None = None,
    ) -> None:
        super().__init__(knowledge, live, about)
        self._names, self.ranker = names, ranker
        # They grow with the KB; None: to be made
        self._features = None if facts is None else PairFeatures(facts)
        self._coherence: Coherence | None = None  # until entities come or go
        self._told_few = False

    @abstractmethod
    def _score(self, questions: Sequence[Question]) -> Scored:
        """The scores of questions, finite.

        Raises:
            QuestionError: One of them is at fault.
        """

    @abstractmethod
    def _add_scored(self, rows: Rows, entities: list[Entity]) -> None:
        """Has new entities scored, all or none; as `_index`."""

    @abstractmethod
    def _remove_scored(self, rows: Rows) -> None:
        """Has rows scored no more; some of them may never have been."""

    @property
    def has_probabilities(self) -> bool:
        """With a ranker."""
        return self.ranker is not None

    @property
    def calibrated_on(self) -> str:
        """As of `Linker`: a shipped ranker says what it was fitted on."""
        return "" if self.ranker is None else calibrated_on(self.ranker)

    @property
    def evidence(self) -> Mapping[str, str]:
        """The ranker's features, or the method's score and the name's."""
        names = self.ranker.names if self.ranker is not None else (self.score_name, "name")
        told = {name: FEATURES.get(name, "what the method scores by") for name in names}
        return told if self.judge is None else told | OF_JUDGE

    def _index(self, rows: Rows, entities: list[Entity]) -> None:
        features, self._features = self._features, None  # made anew, should any of this be interrupted
        self._coherence = None
        if features is not None:
            features.facts.add(*_known(entities))
        self._add_scored(rows, entities)
        try:
            if self._names is not None:
                self._names.add([entity.name for entity in entities], [entity.aliases for entity in entities])
        except BaseException:
            self._remove_scored(rows)
            raise
        self._features = features

    def _forget(self, rows: Rows) -> None:
        features, self._features = self._features, None
        self._coherence = None
        self._remove_scored(rows)
        if self._names is not None:
            self._names.remove(rows)
        if features is not None:
            features.facts.remove(rows)
        self._features = features

    def _link(self, questions: Sequence[Question], top_k: int) -> list[list[Answer]]:
        scored = self._score(questions)
        # A ranker orders as many as it was trained with: more would change what it says of the first.
        count = NUM_CANDIDATES if self.ranker is None else int(self.ranker.facts["num_candidates"])
        least = count if self.ranker is not None else max(count, min(top_k, len(self)))
        nearest = scored.nearest(least)
        who = []
        for place, (question, of_scores) in enumerate(zip(questions, nearest, strict=True)):
            with of_question(place):
                allowed = self._allowed(question)
            who.append(competing(of_scores, question.mention, self.names, count, allowed, least=least))
        scores = scored.at([rows for rows, _ in who])
        found = [Candidates(rows, beside, names) for (rows, names), beside in zip(who, scores, strict=True)]
        if self.ranker is None:
            return [self._by_scores(candidates, top_k) for candidates in found]
        if not self._told_few:
            self._told_few = told_few(questions, found, min(top_k, len(self)))
        features = [self._describe(question, part) for question, part in zip(questions, found, strict=True)]
        parts = zip((part.rows for part in found), features, [-1] * len(found), strict=True)
        before = self.ranker.judge(Lists.join(parts))
        judged, verdicts = self._judge(questions, found, before)
        for place, verdict in enumerate(judged):
            check_finite(place, np.append(verdict.scores, verdict.nil_probability or 0.0), "the ranker's scores")
        return [
            self._by_ranker(part, described, said, top_k, verdict, first)
            for part, described, said, verdict, first in zip(found, features, judged, verdicts, before, strict=True)
        ]

    def _judge(
        self, questions: Sequence[Question], found: Sequence[Candidates], before: list[Judged]
    ) -> tuple[list[Judged], list[Verdict | None]]:
        """What ranker and judge say together; the ranker alone where there is no judge, or it is not asked."""
        stage = self.judge
        if stage is None:
            return before, [None] * len(before)
        shown = [
            [self.knowledge.entities[int(part.rows[place])] for place in said.order[: stage.top_k]]
            if stage.asks(said)
            else []
            for part, said in zip(found, before, strict=True)
        ]
        return ask(stage, questions, shown, before)

    def _allowed(self, question: Question) -> Rows | None:
        if question.candidates is None:
            return None
        return np.unique(np.array([self.knowledge.row(entity_id) for entity_id in question.candidates], np.int64))

    def _describe(self, question: Question, found: Candidates) -> NDArray[np.float64]:
        """The ranker's features [c, num_features] of a question's candidates."""
        choices, is_shown = self.live.choices, question.image is not None
        has_image = is_shown and choices.image_encoder is not None  # as the run's data has it
        has_caption = is_shown and choices.captioner is not None
        facts = Asked(question.mention, question.context, has_image, has_caption)
        return self.features.of(facts, found.rows, found.scores, found.names)

    @property
    def names(self) -> EntityNames:
        """The names and aliases of the KB as it is."""
        if self._names is None:
            self._names = names_by_row(self.knowledge)
        return self._names

    @property
    def features(self) -> PairFeatures:
        """What the ranker reads of the KB as it is."""
        if self._features is None:
            columns = ("name", ""), ("aliases", ()), ("text", None), ("popularity", np.nan)
            facts = EntityFacts(*by_row(self.knowledge, *columns))
            facts.remove(_gone(self.knowledge))
            self._features = PairFeatures(facts)
        return self._features

    def together(self) -> Together:
        """As of `Linker`, where its ranker has learned it."""
        learned = None if self.ranker is None else Collective.of_facts(self.ranker.facts)
        return super().together() if learned is None else Together(self.knowledge, learned, self.coherence)

    @property
    def coherence(self) -> Coherence:
        """How well its entities go together, of the KB as it is."""
        if self._coherence is None:
            self._coherence = Coherence(self.features.facts, self.vectors_of)
        return self._coherence

    def write_ranker(self, place: Path) -> None:
        """Writes the ranker, if there is one, the facts that it reads, and a judge into a linker's folder."""
        if self.ranker is not None:
            self.ranker.save(place / RANKER_FOLDER)
            save_facts(self.features.facts, place / FACTS)
            if self.judge is not None:
                save_stage(self.judge, self.ranker, place / JUDGE_FOLDER, with_model=True)

    def _by_scores(self, found: Candidates, top_k: int) -> list[Answer]:
        return [
            self._answer(
                int(found.rows[place]),
                float(found.scores[place]),
                {self.score_name: float(found.scores[place]), "name": float(found.names[place])},
            )
            for place in np.lexsort((found.rows, -found.scores))[:top_k]
        ]

    def _by_ranker(
        self,
        found: Candidates,
        features: NDArray[np.float64],
        judged: Judged,
        top_k: int,
        verdict: Verdict | None,
        before: Judged,
    ) -> list[Answer]:
        """The answers by what ranker and judge say together; `verdict` is the judge's, `before` the ranker's word."""
        assert self.ranker is not None
        missing = judged.nil_probability or 0.0
        answers = [
            self._answer(
                int(found.rows[place]),
                float(judged.scores[place]),
                {
                    **dict(zip(self.ranker.names, features[place].tolist(), strict=True)),
                    **evidence_of(self.judge, verdict, before, int(place)),
                },
                float(judged.probabilities[place]) * (1 - missing),
            )
            for place in judged.order[:top_k]
        ]
        if judged.says_nil:
            answers.insert(0, Answer(NIL, NIL, None, 0.0, missing))
        return answers[:top_k]

    def _answer(
        self, row: int, score: float, evidence: Mapping[str, float], probability: float | None = None
    ) -> Answer:
        told = self.knowledge.entities.answered(row)
        return Answer(**told, score=score, probability=probability, evidence=evidence)


def _known(entities: Sequence[Entity]) -> tuple[list[str], list[tuple[str, ...]], list[str | None], Doubles]:
    """What the ranker reads of entities: names, aliases, texts and popularity."""
    return (
        [entity.name for entity in entities],
        [entity.aliases for entity in entities],
        [entity.text for entity in entities],
        np.array([entity.popularity for entity in entities], dtype=np.float64),
    )


def told_few(questions: Sequence[Question], found: Sequence[Candidates], wanted: int) -> bool:
    """Warns where a question gets fewer answers than are wanted, though it does not name its candidates itself.

    A ranker orders as many candidates as it was trained with: more of them would change what it says of the first.
    """
    counts = [len(part.rows) for asked, part in zip(questions, found, strict=True) if asked.candidates is None]
    few = min(counts, default=wanted)
    if few < wanted:
        LOG.warning(
            "top_k is %d, and a question has %d candidates: the ranker orders as many as it was trained with; "
            "for more of them: dim rank --num_candidates N",
            wanted,
            few,
        )
    return few < wanted


def ranker_row(ranker: Ranker | None) -> dict[str, str]:
    """What a model card's table says of a ranker."""
    return {
        "ranker": _ranker_row(ranker),
        "NIL": _nil_row(ranker),
    }


def by_row(knowledge: Knowledge, *columns: tuple[str, Any]) -> tuple[list[Any], ...]:
    """Columns of a KB by row; rows of entities that are gone have what stands beside a column's name."""
    table, size = knowledge.table(), knowledge.next_row
    rows = table["row"].to_pylist()
    filled = []
    for name, missing in columns:
        values = [missing] * size
        for row, value in zip(rows, table[name].to_pylist(), strict=True):
            values[row] = value
        filled.append(values)
    return tuple(filled)


def names_by_row(knowledge: Knowledge, aliases: bool = True, weighed_by_names: bool = False) -> EntityNames:
    """The names of a KB, and its aliases where they count, by row."""
    names, others = by_row(knowledge, ("name", ""), ("aliases", ()))
    found = EntityNames(names, others if aliases else None, weighed_by_names)
    found.remove(_gone(knowledge))
    return found


def _gone(knowledge: Knowledge) -> Rows:
    """The rows of a KB whose entities were removed."""
    return np.setdiff1d(np.arange(knowledge.next_row), knowledge.rows)


def read_names(folder: Path, knowledge: Knowledge, name: str = NAMES) -> EntityNames:
    """The names in a linker's folder, below a name.

    Raises:
        DataError: There are none, damaged ones, or those of another KB.
    """
    names = EntityNames.load(folder / name)
    if not np.array_equal(names.rows, knowledge.rows):
        raise DataError(f"entities and names of one KB in {folder}", "two", REMEDY)
    return names


def card_of_ranker(ranker: Ranker | None) -> dict[str, Any]:
    """What `dim.linker.card.model_card` says of a ranker: the figures of its run, or where a shipped one is from."""
    origin = None if ranker is None else ranker.facts.get(ORIGIN)
    if ranker is None or not isinstance(origin, dict):
        return {"has_ranker": ranker is not None}
    figures = [
        f"on {name} {found['split']} (n {found['n']:,}, KB {found['kb_size']:,}) its Top-1 is {found['top1']:.1%}, "
        f"without it {found['top1_of_its_scores']:.1%}; its calibration error is {found['calibration_error']:.3f}"
        for name, found in origin.get("figures", {}).items()
    ]
    told = f"Its ranker is one that dim ships, {calibrated_on(ranker)} ({origin.get('trained_on')}): "
    told += f"{'. '.join(figures)}. What it reaches on these entities was not measured."
    return {"has_ranker": False, "note": markdown_text(told)}


def _ranker_row(ranker: Ranker | None) -> str:
    if ranker is None:
        return "none: scores are no probabilities"
    return calibrated_on(ranker) or "calibrated"


def _nil_row(ranker: Ranker | None) -> str:
    """When a linker answers that the KB has no such entity."""
    if ranker is None or ranker.nil_threshold is None:
        return "never answered"
    precision = ranker.facts.get("nil_precision")
    asked = "" if precision is None else f" (threshold for a precision of {precision:g})"
    return f"answered where its probability reaches {ranker.nil_threshold:.3f}{asked}"


def read_ranker(folder: Path, knowledge: Knowledge) -> tuple[Ranker | None, EntityFacts | None]:
    """The ranker in a linker's folder, if there is one, and the facts of the KB that it reads."""
    ranker, facts = folder / RANKER_FOLDER, folder / FACTS
    return (
        Ranker.load(ranker) if ranker.exists() else None,
        load_facts(facts, knowledge.next_row, knowledge.rows) if facts.exists() else None,
    )
