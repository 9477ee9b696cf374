import json

import pandas as pd
import pytest

from dim.releases.mention_rows import NOTHING_TO_READ, UNKNOWN_ANSWER, MentionRows, is_nil, locate, reading_as_nil


def add(rows: MentionRows, **changes: object) -> None:
    fields = {
        "split": "train",
        "where": "row",
        "mention": "Turing",
        "context": "Turing slept",
        "answer": "Q1",
    } | changes
    split = fields.pop("split")
    rows.add(split, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", [None, "", "  ", "nil", "NIL", "Nil"])
def test_null_empty_and_nil_answers_are_nil(answer: str | None) -> None:
    assert is_nil(answer)
    rows = MentionRows(["Q1"])
    add(rows, answer=answer)
    assert rows.table()["entity_id"].tolist() == [None]


def test_an_answer_that_the_kb_lacks_is_skipped_and_its_first_five_are_kept() -> None:
    rows = MentionRows(["Q1"])
    for number in range(7):
        add(rows, answer=f"Q9{number}", where=f"train.json {number}")
    assert rows.skipped.counts == {UNKNOWN_ANSWER: 7}
    assert rows.skipped.examples[UNKNOWN_ANSWER][0] == "train.json 0: 'Turing' → Q90"
    assert len(rows.skipped.examples[UNKNOWN_ANSWER]) == 5
    assert rows.num_read == 7
    assert rows.table().empty


@pytest.mark.parametrize("mention", ["", "  \t"])
def test_a_row_with_nothing_to_read_is_skipped_and_counted(mention: str) -> None:
    rows = MentionRows(["Q1"])
    add(rows, mention=mention, context=" ", where="train.json 5")
    assert rows.skipped.counts == {NOTHING_TO_READ: 1}
    assert rows.skipped.examples == {NOTHING_TO_READ: ["train.json 5"]}


def test_ids_number_the_rows_of_a_split_and_do_not_move_when_one_is_skipped() -> None:
    rows = MentionRows(["Q1"])
    add(rows, attributes={"key": "Q1"})
    add(rows, mention="", context="")
    add(rows)
    add(rows, split="dev")
    add(rows, split=None)
    table = rows.table()
    assert table["id"].tolist() == ["train-000000", "train-000002", "dev-000000", "mention-000000"]
    assert json.loads(table["attributes"][0]) == {"key": "Q1"}


def test_an_integer_that_pandas_wrote_as_a_float_is_found() -> None:
    rows = MentionRows(["17"])
    add(rows, answer="17.0")
    assert rows.table()["entity_id"].tolist() == ["17"]


def test_given_offsets_that_hold_the_mention_are_kept_and_others_searched_for() -> None:
    rows = MentionRows(["Q1"])
    add(rows, context="Turing met Turing", span=(11, 17))
    add(rows, span=(3, 9))
    add(rows, context="Turing met Turing", span=(1, 2))
    table = rows.table()
    assert table["start"].tolist() == [11, 0, pd.NA]
    assert table["end"].tolist() == [17, 6, pd.NA]
    assert rows.num_wrong_offsets == 2


def test_mentions_of_one_document_share_its_text() -> None:
    rows, document = MentionRows(["Q1"]), "Turing met Turing"
    add(rows, context=document, span=(0, 6))
    add(rows, context=document, span=(11, 17))
    first, second = rows.table()["context"]
    assert first is second


def test_a_span_with_spaces_around_the_name_holds_the_name() -> None:
    rows = MentionRows(["Q1"])
    add(rows, mention=" Turing", context="Turing met Turing", span=(10, 17))
    add(rows, mention="Turing", context="Turing met Turing ", span=(11, 18))
    add(rows, mention=" ", context="see here", span=(3, 4))
    table = rows.table()
    assert (table["start"].tolist(), table["end"].tolist()) == ([11, 11, pd.NA], [17, 17, pd.NA])
    assert rows.num_wrong_offsets == 0


def test_labels_of_nil_are_taken_where_they_are_named_and_noted_where_they_are_not() -> None:
    met = ("--NME--", "NIL0012", "None", "null", "-1")
    with reading_as_nil(["--nme--", "NIL*"]) as labels:
        assert [is_nil(answer) for answer in met] == [True, True, False, False, False]
        assert list(labels.met) == ["None", "null", "-1"]
    assert not any(is_nil(answer) for answer in met)


def test_overlapping_occurrences_are_not_unique() -> None:
    assert locate("ana", "banana") == (None, None)


def test_candidates_that_the_kb_lacks_go_and_are_counted() -> None:
    rows = MentionRows(["Q1", "Q2"])
    add(rows, candidates=rows.known(["Q2", "Q9", "Q1"]))
    add(rows)
    assert rows.table()["candidates"].tolist() == [["Q2", "Q1"], None]
    assert rows.num_unknown_candidates == 1


def test_half_a_surrogate_pair_does_not_reach_the_table() -> None:
    rows = MentionRows(["Q1"])
    add(rows, mention="Tu\ud83d", context="Tu\ud83d", attributes={"key": "\ud83d"}, images=["\ud83d.jpg"])
    row = rows.table().iloc[0]
    assert (row["mention"], row["context"], row["images"]) == ("Tu?", "Tu?", ["?.jpg"])
    assert row["attributes"] == '{"key": "?"}'


def test_an_empty_mention_is_kept_where_there_is_an_image_or_a_context() -> None:
    rows = MentionRows(["Q1"])
    add(rows, mention=" ", context="", images=["a.jpg#xywh=1,2,3,4"])
    add(rows, mention="", images=["a.jpg", "b.jpg#xywh=1,2,3,4"])
    add(rows, mention="", context="", images=["a.jpg"])
    add(rows, mention="", context="the man on the left")
    add(rows, mention="", context="", images=[""])
    table = rows.table()
    assert table["mention"].tolist() == ["", "", "", ""]
    assert table["start"].isna().all()
    assert rows.skipped.counts == {NOTHING_TO_READ: 1}


def test_several_golds_are_read_where_the_whole_is_no_id() -> None:
    rows = MentionRows(["Q1", "Q2", "Q3", "a|b", "17"])
    for answer in ("Q2|Q1", "a|b", " Q3 | Q9|Q3|", "Q8|Q9", "Q1|nil", "17.0|Q1", "NIL"):
        add(rows, answer=answer)
    table = rows.table()
    assert table["entity_id"].tolist() == ["Q2", "a|b", "Q3", "Q1", "17", None]
    assert table["other_golds"].tolist() == [["Q1"], [], [], [], ["Q1"], []]
    assert table["lacks_golds"].tolist() == [False, False, True, True, False, False]
    assert rows.skipped.counts == {UNKNOWN_ANSWER: 1}


def test_without_several_golds_the_table_is_as_it_was() -> None:
    rows = MentionRows(["Q1"])
    add(rows)
    assert not {"other_golds", "lacks_golds"} & set(rows.table().columns)


def test_a_row_with_more_golds_than_a_dataset_takes_is_skipped() -> None:
    rows = MentionRows([f"Q{number}" for number in range(101)])
    for count in (100, 101):
        add(rows, answer="|".join(f"Q{number}" for number in range(count)))
    assert len(rows.table()["other_golds"][0]) == 99
    assert rows.skipped.counts == {"more than 100 golds": 1}
