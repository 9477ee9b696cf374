import pytest

from dim.refresh.quality import length_summary, new_names, overlap, quality_report


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
