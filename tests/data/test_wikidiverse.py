import json
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from fake_diverse import write_diverse
from fake_wikidiverse import (
    COMMONS,
    WIKI,
    annotation,
    caption_row,
    image_name,
    image_url,
    mention_row,
    write_caption_images,
    write_entity_files,
    write_mentions,
    write_passages,
)
from releases import PEOPLE, write_image, write_json

from dim.errors import DataError
from dim.images.remote import fetched_path
from dim.releases.base import Release
from dim.releases.found_images import look_up_images
from dim.releases.mention_rows import NOTHING_TO_READ
from dim.releases.wikidiverse import SHAPE, WikiDiverse
from dim.releases.wikidiverse_kb import split_urls

GOLDS = sorted(PEOPLE)


@pytest.fixture
def passages(tmp_path: Path) -> Path:
    return write_passages(tmp_path / "annotated_data")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The mention level with everything beside it."""
    return write_caption_images(write_entity_files(write_mentions(tmp_path / "wikidiverse")))


def read_dev(root: Path, *rows: Any) -> Release:
    """The release with other dev rows at the mention level."""
    write_json(root / "valid_w_10cands.json", list(rows))
    return WikiDiverse().read(root)


def dev_of(release: Release) -> Any:
    return release.mentions[release.mentions["split"] == "dev"].reset_index(drop=True)


def test_the_passage_level_gives_one_row_a_mention(passages: Path) -> None:
    release = WikiDiverse().read(passages)
    mentions = release.mentions
    assert (release.rows_read, release.licence) == (28, "CC BY-SA 4.0")
    assert mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    assert mentions["mention"].tolist()[:2] == ["Lovelace", "Turing"]
    assert mentions["entity_id"].tolist()[:2] == ["Ada Lovelace", "Alan Turing"]
    assert (mentions["type"] == "Person").all()
    assert mentions["images"].tolist()[:3] == [[image_name(0)], [image_name(0)], [image_name(1)]]
    for _, row in mentions.iterrows():
        assert row["context"][row["start"] : row["end"]] == row["mention"]
    assert json.loads(mentions["attributes"][0]) == {"topic": "science", "image_url": image_url(0)}
    assert mentions["candidates"].isna().all()


def test_without_kb_files_and_candidates_the_kb_is_the_golds_and_says_so(passages: Path) -> None:
    release = WikiDiverse().read(passages)
    assert release.entities["name"].tolist() == GOLDS
    assert any("made of the answers alone, which is easier than a real KB" in note for note in release.notes)
    assert "no entity2desc*.tsv: the entities have no text" in release.notes
    assert release.texts == {}


def test_both_levels_give_the_same_mentions(passages: Path, tmp_path: Path) -> None:
    columns = ["id", "split", "mention", "context", "start", "end", "entity_id", "images", "type"]
    second = WikiDiverse().read(write_mentions(tmp_path / "with_candidates"))
    assert WikiDiverse().read(passages).mentions[columns].equals(second.mentions[columns])


def test_the_mention_level_adds_candidates_to_the_kb(root: Path) -> None:
    release = WikiDiverse().read(root)
    assert release.mentions["candidates"].tolist()[0] == ["Ada Lovelace", "Joan Clarke"]
    assert release.entities["id"].tolist() == [*PEOPLE[::-1], "Margaret Hamilton", "Joan Clarke"]
    attributes = json.loads(release.mentions["attributes"][0])
    assert (attributes["left_context"], attributes["right_context"]) == ("at meeting", "be there")


def test_an_empty_candidate_list_is_a_search_that_found_nothing(root: Path) -> None:
    release = read_dev(root, mention_row(20, candidates=[]), mention_row(21, candidates=None))
    assert dev_of(release)["candidates"].tolist() == [[], None]


def test_where_both_levels_stand_the_one_with_candidates_is_read(root: Path) -> None:
    write_passages(root)
    (root / "test_w_10cands.json").unlink()
    release = WikiDiverse().read(root)
    assert len(release.mentions) == 28
    assert "train.json was not read: train_w_10cands.json holds the same split with candidates" in release.notes
    assert release.mentions.groupby("split")["candidates"].apply(lambda of: of.notna().all()).to_dict() == {
        "train": True,
        "dev": True,
        "test": False,
    }


@pytest.mark.parametrize("url", ["", None, "NIL", "nil", " Nil"])
def test_nil_in_any_form_is_no_entity(root: Path, passages: Path, url: object) -> None:
    release = read_dev(root, mention_row(20, url=url))
    assert dev_of(release)["entity_id"].tolist() == [None]
    write_json(passages / "valid.json", [["A cat", image_url(10), "x", [["cat", "Other", 2, 5, url]]]])
    assert dev_of(WikiDiverse().read(passages))["entity_id"].tolist() == [None]


@pytest.mark.parametrize(
    "url",
    [
        WIKI + "High-definition_television",
        WIKI + "High%2Ddefinition%20television#History",
        "n" + WIKI + "High-definition_television",  # typing errors of the release itself
        "]" + WIKI + "High-definition_television",
        WIKI[1:] + "High-definition_television]",
        "http://en.m.wikipedia.org//wiki/High-definition_television",
        "/wiki/high-definition_television",
        "High definition television\u200e",
    ],
)
def test_gold_urls_meet_candidates_that_are_names(root: Path, url: str) -> None:
    release = read_dev(root, mention_row(20, url=url, candidates=["High definition television"]))
    dev = dev_of(release)
    assert dev["entity_id"].tolist() == ["High definition television"]
    assert dev["candidates"].tolist() == [["High definition television"]]
    assert release.entities["name"].tolist()[-1] == "Joan Clarke"
    assert release.entities["id"].is_unique


def test_titles_in_other_alphabets_and_languages_stay_apart(root: Path) -> None:
    urls = [WIKI + "K%C3%B6ln", "https://de.wikipedia.org/wiki/K%C3%B6ln", WIKI + "Ko%CC%88ln", "K\u00f6ln"]
    release = read_dev(root, *[mention_row(20 + n, url=url) for n, url in enumerate(urls)])
    assert dev_of(release)["entity_id"].tolist() == ["Köln", "de:Köln", "Köln", "Köln"]
    assert release.entities.set_index("id").loc["de:Köln", "name"] == "Köln"


def test_texts_belong_to_entities_and_lines_without_separator_are_counted(root: Path) -> None:
    file = root / "wikipedia_entity2desc_filtered.tsv"
    lines = [
        "\ufeffAda_Lovelace@@@@A text, with @@@@ inside\r\n",
        "\r\n",
        "no separator\r\n",
        "@@@@no name\r\n",
        "Ada Lovelace@@@@again\r\n",
        'Turing\'s "Bombe"@@@@A\rmachine \u2028 of 1939',
    ]
    file.write_bytes("".join(lines).encode())
    release = WikiDiverse().read(root)
    assert release.texts["brief"].to_numpy().tolist() == [
        ["Ada Lovelace", "A text, with @@@@ inside"],
        ['Turing\'s "Bombe"', "A\rmachine \u2028 of 1939"],
    ]
    notes = " ".join(release.notes)
    assert f"2 left out; first: {file.name} line 3; {file.name} line 4" in notes
    assert "lines of entity texts whose entity came before (the first counts): 1" in notes


def test_a_field_of_images_that_no_decoder_reads_is_cut_as_text() -> None:
    assert split_urls("9" * 5_000) == ["9" * 5_000]


def test_an_entity_without_text_is_in_the_kb_without_text(root: Path) -> None:
    release = WikiDiverse().read(root)
    assert "Barbara Liskov" in release.entities["id"].tolist()
    assert "Barbara Liskov" not in release.texts["brief"]["entity_id"].tolist()
    assert len(release.texts["brief"]) == 8


def test_entity_images_are_local_names_of_entities_in_the_kb(root: Path) -> None:
    entities = WikiDiverse().read(root).entities.set_index("id")
    names = [md5(b"Ada.svg").hexdigest() + ".png", md5(b"Ada_2.jpg").hexdigest() + ".jpg"]
    assert entities.loc["Ada Lovelace", "images"] == names
    assert entities.loc["Alan Turing", "images"] == []
    assert "Somebody Else" not in entities.index


def test_images_of_the_release_are_found_and_missing_ones_are_a_state(root: Path) -> None:
    release = WikiDiverse().read(root)
    assert release.image_root == root / "wikinewsImgs"
    found = look_up_images(release, None)
    problems, without = found.problems, found.has_image.count(False)
    assert without == 2
    assert problems.counts == {"no such file": 4}
    assert problems.examples["no such file"][0] == fetched_path(image_url(13))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("A%2C_B.svg", md5(b"A%2C_B.svg").hexdigest() + ".png"),
        ("A%2C_B.jpg", md5(b"A,_B.jpg").hexdigest() + ".jpg"),  # hashed without quoting
        ("A%20B.JPG", md5(b"A B.JPG").hexdigest() + ".jpg"),  # in small letters, with a space
        ("A,_B.gif", md5(b"A,_B.gif").hexdigest() + "A,_B.gif"),  # as the release's own rule has it
        ("A,_B.gif", md5(b"A,_B.gif").hexdigest() + ".png"),
        ("A.svg/220px-A.svg.png", md5(b"220px-A.svg.png").hexdigest() + ".png"),
    ],
)
def test_the_name_that_stands_on_the_disk_is_taken(root: Path, url: str, local: str) -> None:
    write_image((root / "wikinewsImgs" / local).with_suffix(".png"))
    (root / "wikinewsImgs" / local).with_suffix(".png").rename(root / "wikinewsImgs" / local)
    assert dev_of(read_dev(root, mention_row(20, image_url=COMMONS + url)))["images"].tolist() == [[local]]


@pytest.mark.parametrize("url", [None, "", COMMONS])
def test_a_row_may_have_no_image(root: Path, url: object) -> None:
    assert dev_of(read_dev(root, mention_row(20, image_url=url)))["images"].tolist() == [[]]


def test_no_sentence_leaves_the_words_around(root: Path) -> None:
    dev = dev_of(read_dev(root, mention_row(20, sentence=None, mention="Hopper", start=99, end=120)))
    assert dev["context"].tolist() == ["at meeting Hopper be there"]
    assert dev["start"].tolist() == [11]


def test_wrong_offsets_are_searched_for_and_counted(root: Path) -> None:
    rows = [mention_row(20, start=1, end=3), mention_row(21, mention="HDTB"), mention_row(22, start="4")]
    release = read_dev(root, *rows)
    dev = dev_of(release)
    assert dev["context"][0][dev["start"][0] : dev["end"][0]] == dev["mention"][0]
    assert dev["start"].isna().tolist() == [False, True, False]
    assert "rows whose start and end did not hold the mention (searched for it): 3" in " ".join(release.notes)


def test_one_mention_twice_in_a_sentence_is_no_repetition(passages: Path) -> None:
    mentions = [["Hill", "Person", 0, 4, WIKI + "Hill"], ["Hill", "Person", 8, 12, WIKI + "Damon_Hill"]]
    write_json(passages / "valid.json", [["Hill by Hill", image_url(10), "x", mentions]])
    release = WikiDiverse().read(passages)
    assert dev_of(release)["start"].tolist() == [0, 8]
    assert not any("stand" in note and "kept" in note for note in release.notes)


def test_rows_that_stand_twice_or_in_two_splits_are_kept_and_named(root: Path) -> None:
    release = read_dev(root, mention_row(20), mention_row(20), mention_row(0), mention_row(1, url=WIKI + "Dilly"))
    assert len(release.mentions) == 28
    notes = " ".join(release.notes)
    assert "stand twice in one split are kept: 1" in notes
    assert "stand in two splits are kept: 1, first 'Lovelace' in dev" in notes
    assert "mentions of one sentence and image with different answers (kept): 1" in notes


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"sentence": "s"}, SHAPE),
        (None, SHAPE),
        (["s", "u", "t"], SHAPE),
        (mention_row(20, url=None)[:10], SHAPE),
        (mention_row(20, mention=["a"]), "an array as 'mention'"),
        (mention_row(20, candidates="a"), "a string as 'candidates'"),
        (["", None, "", "Person", [], [], None, [], None, 0, 0], NOTHING_TO_READ),
    ],
)
def test_a_row_that_cannot_be_used_is_skipped_with_reason_and_place(root: Path, bad: object, reason: str) -> None:
    release = read_dev(root, mention_row(21), bad)
    assert release.skipped.as_json() == {reason: {"count": 1, "examples": ["valid_w_10cands.json row 2"]}}
    assert release.rows_read == 26


def test_a_bad_mention_of_a_caption_is_skipped_alone(passages: Path) -> None:
    row = caption_row(10)
    row[-1] = [annotation(20), ["x", "Person"], annotation(21)]
    write_json(passages / "valid.json", [row])
    release = WikiDiverse().read(passages)
    assert release.skipped.examples == {SHAPE: ["valid.json row 1, mention 2"]}
    assert dev_of(release)["id"].tolist() == ["dev-000000", "dev-000002"]


def test_sizes_that_differ_from_the_official_ones_are_noted(root: Path) -> None:
    notes = WikiDiverse().read(root).notes
    assert "train has 20 mention rows; the official split has 13,205" in notes
    assert "test has 4 mention rows; the official split has 1,570" in notes


def test_truncated_and_empty_files_are_named(root: Path) -> None:
    path = root / "valid_w_10cands.json"
    for text, problem in (
        (json.dumps([mention_row(20)], indent=1)[:-2], "its end (truncated?) at line"),
        ("", "its end (truncated?) at line 1"),
        ("[]", "an empty array"),
        ('{"a": 1}', "found    an object"),
    ):
        path.write_text(text)
        with pytest.raises(DataError) as caught:
            WikiDiverse().read(root)
        assert problem in str(caught.value)
        assert str(path) in str(caught.value)


def test_no_split_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of these files"):
        WikiDiverse().read(write_entity_files(write_mentions(tmp_path / "a")).parent)


def test_layouts_are_told_apart_by_their_first_row(root: Path, passages: Path, tmp_path: Path) -> None:
    assert WikiDiverse().recognizes(root)
    assert WikiDiverse().recognizes(passages)
    assert not WikiDiverse().recognizes(write_diverse(tmp_path / "diverse"))
    assert not WikiDiverse().recognizes(passages / "train.json")
    assert not WikiDiverse().recognizes(tmp_path)


def test_reading_twice_gives_the_same(root: Path) -> None:
    first, second = WikiDiverse().read(root), WikiDiverse().read(root)
    assert first.mentions.equals(second.mentions)
    assert first.entities.equals(second.entities)
    assert first.notes == second.notes
