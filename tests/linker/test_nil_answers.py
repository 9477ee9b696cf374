"""Where the ranker tells how probable it is that the KB has no such entity, answers say so in every way."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from dim.collective.coherence import COHERENCE
from dim.collective.collective import Collective
from dim.data.dataset import NIL
from dim.linker import Answer, Entity, Linker
from dim.reranker.lists import Lists
from dim.reranker.ranker import Judged, Ranker

KB = [
    Entity("p1", "Ann Falk", (), "painter of the Dovecote House in Ambrel"),
    Entity("p2", "Ann Falk (judge)", (), "judge of the Granite Bank in Irsk"),
    Entity("q", "Bo Quist", (), "judge of the Granite Bank in Irsk"),
    *(Entity(f"r{place}", f"Cy Ren{place}", (), f"swimmer number {place}") for place in range(20)),
]
TEXT, SPANS = "Ann Falk met Bo Quist.", [(0, 8), (13, 21)]
Says = Callable[[float | None, bool], None]


@pytest.fixture(scope="module")
def linker() -> Linker:
    return Linker.from_entities(KB)


@pytest.fixture
def says(linker: Linker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Says]:
    """Has the ranker say of every mention how probable NIL is, and whether that reaches the threshold."""
    ranker = linker.ranker
    assert isinstance(ranker, Ranker)
    judge = ranker.judge

    def say(probability: float | None, says_nil: bool) -> None:
        def judged(lists: Lists) -> list[Judged]:
            return [replace(each, nil_probability=probability, says_nil=says_nil) for each in judge(lists)]

        monkeypatch.setattr(ranker, "judge", judged)

    yield say
    ranker.facts.pop("collective", None)


def told(answers: Sequence[Answer]) -> dict[str, float | None]:
    return {answer.id: answer.probability for answer in answers}


def test_what_nil_takes_the_entities_lack(linker: Linker, says: Says) -> None:
    before = linker.link("Ann Falk", top_k=4)
    says(0.25, False)
    assert told(linker.link("Ann Falk", top_k=4)) == pytest.approx({i: 0.75 * p for i, p in told(before).items()})
    says(0.75, True)
    found = linker.link("Ann Falk", top_k=4)
    assert (found[0].id, found[0].name, found[0].text, found[0].probability) == (NIL, NIL, None, 0.75)
    assert told(found[1:]) == pytest.approx({answer.id: 0.25 * answer.probability for answer in before[:3]})
    assert [answer.id for answer in linker.link("Ann Falk", top_k=1)] == [NIL]


def test_together_nil_stays_what_it_is_and_takes_no_candidates_place(linker: Linker, says: Says) -> None:
    ranker = linker.ranker
    assert isinstance(ranker, Ranker)
    says(0.75, True)
    ranker.facts["collective"] = Collective(dict.fromkeys(COHERENCE, 0.0) | {"words": 30.0}, top=2).to_fact()
    alone, together = (linker.annotate(TEXT, SPANS, top_k=9, collective=each) for each in (False, True))
    assert alone[0].answers[1].id == "p1"
    assert together[0].answers[1].id == "p2"  # of one bank with Bo Quist
    for one, other in zip(alone, together, strict=True):
        assert other.answers[0] == one.answers[0]
        assert other.answers[0].id == NIL
        assert sum(told(other.answers).values()) == pytest.approx(sum(told(one.answers).values()))
    for top_k in (1, 2):
        fewer = linker.annotate(TEXT, SPANS, top_k=top_k, collective=True)
        assert [each.answers for each in fewer] == [each.answers[:top_k] for each in together]
