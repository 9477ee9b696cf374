import pytest

from dim.refresh.names import new_names, sentences
from dim.refresh.quality import length_summary, overlap, quality_report
from dim.refresh.support import is_supported, judged_sentences


@pytest.mark.parametrize(
    ("text", "source", "names"),
    [
        ("Ada Lovelace wrote notes.", "Ada Lovelace", []),
        ("She knew Charles Babbage. He was old. Babbage built engines.", "Ada", ["Charles Babbage"]),
        ("The Royal Society met her.", "", ["Royal Society"]),
        ("Born in London, Rome and Paris.", "rome", ["London", "Paris"]),
        ("It is Babbage's engine, an Anglo-French one.", "Babbage; Anglo", ["Anglo-French"]),
        ("A man. I know him: Tall.", "", []),
        ("Later Émile Zola wrote; Ölaf too.", "Zola", ["Émile Zola"]),
        ("He led the U.S. Army. In the U.S. He was born.", "army", ["U.S."]),
        ("He led the U.S. and the U.K. for years.", "United States", ["U.K."]),
        ("A senator of the U.S. and of the US.", "US senator", []),
        ("The 43rd President met the Prime Minister, and then Mr. Blair.", "", ["Mr Blair"]),
        ("Later President Bush and King Juan met.", "George Bush", ["King Juan"]),
        ("There John F. Kennedy met Dr. Martin L. King.", "John Kennedy; Martin King", []),
        ("There J.R.R. Tolkien wrote.", "John Ronald Reuel Tolkien", []),
        ("他来自伦敦。", "", []),
        ("", "", []),
    ],
)
def test_names_that_no_source_holds_are_found(text: str, source: str, names: list[str]) -> None:
    assert new_names(text, source) == names


def test_overlap_counts_runs_of_three_words() -> None:
    assert overlap("a b c d", "x a b c d y") == 1.0
    assert overlap("a b c d", "d c b a") == 0.0
    assert overlap("a b", "a b c") == 1.0  # shorter than three words: runs of two
    assert overlap("", "a") == overlap("a", "") == 0.0


def test_the_report_counts_over_the_new_texts_alone() -> None:
    ids = ["Q1", "Q2", "Q3", "Q4", "Q5"]
    old = ["Born in Rome, a painter of note.", "A poet.", None, "A singer.", "Old."]
    new = ["born in ROME - a painter of note", "A tall man near Lake Como.", "A tall man near lake Como", None, ""]
    report = quality_report(ids, old, new, ["Rome", "", "Como", "", ""])
    assert (report["num_texts"], report["without_text"]) == (3, 2)
    assert (report["identical"], report["high_overlap"], report["shared"]) == (1, 1, 2)
    assert (report["texts_with_new_names"], report["examples"]) == (1, ["Q2: Lake Como"])
    assert report["words_old"]["num"] == 2
    assert report["words_new"]["max"] == 8  # the dash stands alone


def test_no_texts_have_no_lengths() -> None:
    assert length_summary([]) == {}


def test_dots_of_initials_and_titles_end_no_sentence() -> None:
    text = "John F. Kennedy met Dr. King. He led the U.S. Army!\nIt was 3.5 m long? Yes."
    expected = ["John F. Kennedy met Dr. King.", "He led the U.S. Army!", "It was 3.5 m long?", "Yes."]
    assert list(sentences(text)) == expected
    assert list(sentences("")) == []


@pytest.mark.parametrize(
    ("sentence", "holds"),
    [
        ("George W. Bush was the 43rd president.", True),
        ("He was the 41st president of the United States.", False),  # the number
        ("He was president of the U.S. from Texas.", False),  # the name
        ("He was an American politician in the United States.", True),
        ("He wears a dark suit with a bright red tie.", False),  # what nobody said
        ("The president served in the army.", True),
    ],
)
def test_a_sentence_is_supported_by_its_numbers_names_and_words(sentence: str, holds: bool) -> None:
    source = "George W. Bush | American politics; 43rd president of the United States, who served in an army"
    assert is_supported(sentence, source) == holds


def test_the_report_shares_out_sentences_and_shows_what_nobody_said() -> None:
    new = ["A poet of Rome. He had a red beard.", "Born in Rome. Yes. 他来自伦敦。", None]
    report = quality_report(["Q1", "Q2", "Q3"], ["", "", ""], new, ["poet, Rome", "born in Rome", ""])
    assert (report["sentences"], report["supported"]) == (3, 2)
    assert report["unsupported"] == ["Q1: He had a red beard."]
    assert [len(said) for said, _ in judged_sentences("word " * 100, "")] == [201]
