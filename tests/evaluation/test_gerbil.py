"""Micro and macro figures as GERBIL counts them, against its own rules done by filtering and matching in loops."""

from hypothesis import given
from hypothesis import strategies as st

from dim.evaluation.gerbil import Counts, Figures, Linked, measured

ENTITY = st.sampled_from(["Q1", "Q2", "Q3"])
MENTION = st.builds(Linked, st.sets(ENTITY, max_size=2), st.none() | ENTITY, st.booleans())
DOCUMENTS = st.lists(st.lists(MENTION, max_size=4), min_size=1, max_size=4)


def by_filters(documents: list[list[Linked]], name: str) -> tuple[Counts, Figures, Figures] | None:
    """GERBIL's way: markings of a class are filtered out of golds and answers, then matched, mention by mention."""
    each_counts = []
    for document in documents:
        golds = {place: each.golds for place, each in enumerate(document)}
        answers = {place: each.answer for place, each in enumerate(document) if each.is_answered}
        if name == "InKB":
            golds = {place: gold for place, gold in golds.items() if gold}
            answers = {place: answer for place, answer in answers.items() if answer}
        if name == "EE":
            golds = {place: gold for place, gold in golds.items() if not gold}
            answers = {place: answer for place, answer in answers.items() if not answer}
        if name == "GSInKB":
            golds = {place: gold for place, gold in golds.items() if gold}
            answers = {place: answer for place, answer in answers.items() if place in golds}
        right = 0
        for place, gold in golds.items():
            if place in answers:
                answer = answers[place]
                right += (answer is None and not gold) or (answer is not None and answer in gold)
        each_counts.append((right, len(answers) - right, len(golds) - right))
    total = Counts(*map(sum, zip(*each_counts, strict=True)))
    if sum(total) == 0:
        return None
    rates = [rates_of(*counts) for counts in each_counts]
    macro = Figures(*(sum(column) / len(rates) for column in zip(*rates, strict=True)))
    return total, Figures(*rates_of(*total)), macro


def rates_of(right: int, wrong: int, missed: int) -> tuple[float, float, float]:
    if right == 0:
        return (1.0, 1.0, 1.0) if wrong == missed == 0 else (0.0, 0.0, 0.0)
    precision, recall = right / (right + wrong), right / (right + missed)
    return precision, recall, 2 * precision * recall / (precision + recall)


@given(DOCUMENTS)
def test_figures_are_those_of_filtering_and_matching(documents: list[list[Linked]]) -> None:
    found = measured(documents)
    for name in ("all", "InKB", "EE", "GSInKB"):
        told = found.get(name)
        assert (None if told is None else (told.counts, told.micro, told.macro)) == by_filters(documents, name)


def test_a_text_without_mentions_counts_one_in_the_macro_figures_alone() -> None:
    found = measured([[Linked({"Q1"}, "Q2")], []])["all"]
    assert (found.counts, found.micro.f1, found.macro.f1) == (Counts(0, 1, 1), 0.0, 0.5)


def test_nothing_at_all_has_no_figures() -> None:
    assert measured([]) == measured([[]]) == {}


def test_an_unanswered_mention_is_missed_and_never_wrong() -> None:
    found = measured([[Linked({"Q1"}, None, is_answered=False), Linked((), None, is_answered=False)]])
    assert found["all"].counts == Counts(0, 0, 2)
    assert found["InKB"].counts == found["EE"].counts == Counts(0, 0, 1)
