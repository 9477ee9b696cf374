from pathlib import Path
from typing import Any

import pytest
from fake_mimic import entity, mention, write_kb, write_mimic
from releases import PEOPLE, qid, write_json

from dim.errors import DataError
from dim.releases.base import Release
from dim.releases.checks import check_release
from dim.releases.found_images import look_up_images
from dim.releases.mention_rows import NOTHING_TO_READ, UNKNOWN_ANSWER
from dim.releases.mimic import Mimic
from dim.releases.prepare import prepare


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_mimic(tmp_path / "mimic")


def with_dev(root: Path, *rows: dict[str, Any]) -> Release:
    write_json(root / "WIKIMEL_dev.json", list(rows))
    return Mimic().read(root)


def with_kb(root: Path, *entities: dict[str, Any]) -> Release:
    write_kb(root, [entity(number) for number in range(8)] + list(entities))
    return Mimic().read(root)


def test_mentions_and_kb_come_out_of_their_quoting(root: Path) -> None:
    assert Mimic().recognizes(root)
    release = Mimic().read(root)
    assert release.name == "WikiMEL-MIMIC"
    assert release.mentions["split"].value_counts().to_dict() == {"train": 20, "dev": 4, "test": 4}
    assert release.mentions["mention"].tolist()[:2] == ["Lovelace", "Turing"]
    assert release.mentions["entity_id"].tolist()[:2] == ["Q100", "Q101"]
    assert release.entities["name"].tolist() == list(PEOPLE)
    assert release.texts["brief"]["text"].tolist() == [f"Occupation: scientist {n}." for n in range(7)]
    assert release.notes == []
    check_release(release, allow_missing=False)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("RichpediaMEL", "RichpediaMEL-MIMIC"),
        ("Wikidiverse", "WikiDiverse-MIMIC"),
        ("wiki_diverse", "WikiDiverse-MIMIC"),
    ],
)
def test_the_other_two_packages_are_known_by_their_files(tmp_path: Path, prefix: str, name: str) -> None:
    release = Mimic().read(write_mimic(tmp_path / "x", prefix))
    assert (release.name, len(release.mentions)) == (name, 28)


def test_images_of_mentions_and_entities_lie_in_two_folders_under_the_release(root: Path) -> None:
    release = Mimic().read(root)
    assert release.mentions["images"].tolist()[:3] == [["mention_image/0.jpg"]] * 2 + [["mention_image/1.jpg"]]
    assert release.entities["images"].tolist()[6:] == [["kb_image/Q106.jpg"], []]
    found = look_up_images(release, None)
    problems, without = found.problems, found.has_image.count(False)
    assert (problems.total, without) == (0, 0)


def test_richpedia_has_the_folder_in_the_plural(root: Path) -> None:
    (root / "mention_image").rename(root / "mention_images")
    release = Mimic().read(root)
    assert look_up_images(release, None).has_image.count(False) == 0


def test_missing_images_are_counted_and_a_row_without_one_has_none(root: Path) -> None:
    (root / "mention_image" / "10.jpg").unlink()
    release = with_dev(root, mention(20), mention(22, imgPath=""), mention(23, imgPath=None))
    found = look_up_images(release, None)
    problems, without = found.problems, found.has_image.count(False)
    assert without == 3
    assert problems.as_json() == {"no such file": {"count": 1, "examples": ["mention_image/10.jpg"]}}


def test_a_release_without_any_image_folder_is_text_only(tmp_path: Path) -> None:
    release = Mimic().read(write_mimic(tmp_path / "bare", images=False))
    found = look_up_images(release, None)
    assert found.has_image.count(False) == 28
    assert "text only" in found.said[1]


def test_odd_quoting_is_left_alone(root: Path) -> None:
    names = ["100%", "50%ab", "A+B", "A%2BB", "Beyonc%C3%A9", "Caf\u00e9%20Noir", "%41"]
    rows = [mention(20, mentions=name, sentence="This is %41.") for name in names]
    release = with_dev(root, *rows)
    dev = release.mentions[release.mentions["split"] == "dev"]
    assert dev["mention"].tolist() == ["100%", "50%ab", "A+B", "A+B", "Beyoncé", "Café Noir", "%41"]
    assert (dev["start"].tolist()[-1], dev["end"].tolist()[-1]) == (8, 11)


def test_half_a_surrogate_pair_does_no_harm(root: Path) -> None:
    (root / "WIKIMEL_dev.json").write_text(
        '[{"mentions": "x \\ud83d", "sentence": "x \\ud83d", "answer": "Q100"}]', encoding="utf-8"
    )
    release = Mimic().read(root)
    assert release.mentions["mention"].tolist()[20] == "x ?"


def test_nil_and_unknown_answers(root: Path) -> None:
    answers = ("nil", "NIL", "", None, "Q999", "Q103")
    release = with_dev(root, *(mention(20 + n, answer=answer) for n, answer in enumerate(answers)))
    dev = release.mentions[release.mentions["split"] == "dev"]
    assert dev["entity_id"].tolist() == [None] * 4 + ["Q103"]
    assert release.skipped.examples[UNKNOWN_ANSWER] == ["WIKIMEL_dev.json row 5: 'Lovelace' → Q999"]
    with pytest.raises(DataError, match="1 of 30 rows with an unknown answer"):
        check_release(release, allow_missing=False)


def test_answers_and_indices_may_be_strings_in_one_file_and_integers_in_another(root: Path) -> None:
    write_json(root / "kb_entity.json", [entity(number, id=str(number)) for number in range(8)])
    write_json(root / "qid2id.json", {qid(number): number for number in range(8)} | {"Q1": 3, "Q2": "4"})
    release = with_dev(root, *(mention(20, answer=answer) for answer in ("Q1", "Q2", 5, "6", "Q100")))
    dev = release.mentions[release.mentions["split"] == "dev"]
    assert dev["entity_id"].tolist() == ["Q103", "Q104", "Q105", "Q106", "Q100"]
    assert release.notes[0].startswith("answers were found through qid2id.json or their index: 4, first: Q1 → Q103")


def test_duplicated_rows_and_mentions_in_two_splits_are_kept_and_noted(root: Path) -> None:
    release = with_dev(root, mention(20), mention(20, id="other"), mention(0))
    assert (release.mentions["split"] == "dev").sum() == 3
    assert release.notes == [
        "mention rows that stand twice in one split are kept: 1, first 'Liskov' in dev; dim audit names them",
        "mention rows that stand in two splits are kept: 1, first 'Lovelace' in dev; dim audit names them",
    ]


def test_an_empty_mention_is_skipped_and_counted(root: Path) -> None:
    release = with_dev(root, mention(20, mentions="%20", sentence=" ", imgPath=""), mention(21))
    assert release.skipped.counts == {NOTHING_TO_READ: 1}
    assert release.rows_read == 26


def test_rows_of_one_entity_are_merged_and_noted(root: Path) -> None:
    release = with_kb(
        root,
        entity(0, id=8, entity_name="Countess%20Lovelace", attr="Other text.", image_list=["new.jpg", "Q100.jpg"]),
        entity(1, id=9),
    )
    assert release.entities["id"].tolist() == [qid(number) for number in range(8)]
    assert release.entities["aliases"].tolist()[:2] == [["Countess Lovelace"], []]
    assert release.entities["images"].tolist()[0] == ["kb_image/Q100.jpg", "kb_image/new.jpg"]
    assert release.texts["brief"]["text"].tolist()[0] == "Occupation: scientist 0."
    notes = "\n".join(release.notes)
    assert "merged (names become aliases): 2, first: Q100 'Countess Lovelace', Q101 'Alan Turing'" in notes
    assert "two texts the first is kept: 1, first: Q100" in notes
    check_release(release, allow_missing=False)


def test_a_merged_entity_takes_the_text_and_name_that_it_lacked(root: Path) -> None:
    write_kb(root, [entity(0, entity_name=None, attr=""), entity(0), *(entity(number) for number in range(1, 8))])
    release = Mimic().read(root)
    assert release.entities["name"].tolist()[0] == "Ada Lovelace"
    assert release.texts["brief"]["text"].tolist()[0] == "Occupation: scientist 0."


def test_an_entity_without_qid_takes_it_from_the_index_file_or_is_named_by_its_index(root: Path) -> None:
    write_json(
        root / "kb_entity.json",
        [
            entity(0, qid=None),
            entity(1, qid=None, answer="Q101"),
            *(entity(n) for n in range(2, 8)),
            entity(30, qid=None),
        ],
    )
    release = Mimic().read(root)
    assert release.entities["id"].tolist() == [*(qid(number) for number in range(8)), "kb-30"]
    assert release.notes == ["entities without a Wikidata id are called kb-<index>: 1, first: kb-30"]


def test_contradicting_indices_are_noted(root: Path) -> None:
    write_json(root / "qid2id.json", {"Q100": 5})
    write_json(root / "kb_entity.json", [entity(0), entity(1, id=0), *(entity(n) for n in range(2, 8))])
    notes = Mimic().read(root).notes
    assert notes == [
        "indices in kb_entity.json that qid2id.json contradicts: 1, first: Q100 (0)",
        "indices of several entities count as the first one's: 1, first: 0 (Q101)",
    ]


def test_image_lists_may_be_null_one_string_or_hold_nulls(root: Path) -> None:
    lists: list[Any] = [None, "a.jpg", ["b.jpg", None, ""], []]
    write_kb(root, [entity(n, image_list=lists[n] if n < 4 else []) for n in range(8)])
    assert Mimic().read(root).entities["images"].tolist()[:4] == [[], ["kb_image/a.jpg"], ["kb_image/b.jpg"], []]


def test_unknown_fields_and_the_index_are_kept_as_attributes(root: Path) -> None:
    release = with_kb(root, entity(8, qid="Q1", sitelinks=7))
    assert release.entities["attributes"].tolist()[-1] == '{"index": 8, "sitelinks": 7}'
    assert release.mentions["attributes"].tolist()[0] == '{"key": "0-0"}'


def test_a_missing_split_or_index_file_is_noted(root: Path) -> None:
    (root / "WIKIMEL_test.json").unlink()
    (root / "qid2id.json").unlink()
    release = Mimic().read(root)
    assert release.notes == [
        "no file for test: that split is empty",
        "no qid2id.json: answers are looked up in kb_entity.json",
    ]
    assert len(release.mentions) == 24


def test_the_files_of_two_datasets_are_refused(root: Path) -> None:
    write_json(root / "RichpediaMEL_train.json", [])
    with pytest.raises(
        DataError, match=r"split files of one dataset .*\nfound    RichpediaMEL_train.json, WIKIMEL_dev"
    ):
        Mimic().read(root)


def test_a_folder_without_mentions_is_refused(tmp_path: Path) -> None:
    write_kb(tmp_path, [entity(0)])
    with pytest.raises(DataError, match="found    none"):
        Mimic().read(tmp_path)


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ("text", "a string in row 2"),
        ({"mentions": "x"}, "no field 'answer' in row 2"),
        ({"mentions": ["x"], "answer": "Q1"}, "an array as 'mentions' in row 2"),
        ({"mentions": "x", "answer": True}, "a boolean as 'answer' in row 2"),
        ({"mentions": "x", "answer": "Q1", "imgPath": 7}, "a number as 'imgPath' in row 2"),
    ],
)
def test_a_mention_of_another_shape_is_named(root: Path, bad: Any, found: str) -> None:
    with pytest.raises(DataError, match=found):
        with_dev(root, mention(0), bad)


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ([], "an array in row 9"),
        ({"id": 1.5}, "a number as 'id' in row 9"),
        ({"entity_name": "x"}, "neither 'id' nor 'qid' in row 9"),
        ({"id": 8, "attr": ["x"]}, "an array as 'attr' in row 9"),
        ({"id": 8, "image_list": [1]}, "no array of file names as 'image_list' in row 9"),
    ],
)
def test_an_entity_of_another_shape_is_named(root: Path, bad: Any, found: str) -> None:
    write_json(root / "kb_entity.json", [*(entity(number) for number in range(8)), bad])
    with pytest.raises(DataError, match=found):
        Mimic().read(root)


def test_indices_of_another_shape_are_named(root: Path) -> None:
    write_json(root / "qid2id.json", {"Q100": [0]})
    with pytest.raises(DataError, match="an array for Q100"):
        Mimic().read(root)


def test_prepare_reads_it_and_image_paths_lead_to_both_folders(root: Path, tmp_path: Path) -> None:
    dataset = prepare(root, tmp_path / "dataset")
    assert dataset.meta["layout"] == "mimic"
    for table in (dataset.mentions, dataset.entities):
        paths = [path for images in table["images"] for path in images]
        assert paths
        assert all((dataset.image_root / path).is_file() for path in paths)
    assert dataset.texts("brief")["Q101"] == "Occupation: scientist 1."


def test_images_may_stand_in_another_place_with_both_folders(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for folder in ("mention_image", "kb_image"):
        (root / folder).rename(tmp_path / "elsewhere" / folder)
    dataset = prepare(root, tmp_path / "dataset", images=tmp_path / "elsewhere")
    assert dataset.meta["mentions_without_image"] == 0
    assert dataset.meta["images"] == {}


def described(number: int, **changes: Any) -> dict[str, Any]:
    made = entity(number, desc=f"English scientist {number}", **changes)
    return {name: value for name, value in made.items() if name != "attr"}


def test_a_kb_with_descriptions_in_the_place_of_attributes_is_read(root: Path) -> None:
    write_kb(root, [described(number) for number in range(8)])
    release = Mimic().read(root)
    assert list(release.texts) == ["brief"]
    assert release.texts["brief"]["text"].tolist()[0] == "English scientist 0"
    assert not any("desc" in (attributes or "") for attributes in release.entities["attributes"])


def test_the_described_kb_alone_is_a_package(root: Path) -> None:
    (root / "kb_entity.json").unlink()
    write_json(root / "kb_entity_desc.json", [described(number) for number in range(8)])
    assert Mimic().recognizes(root)
    release = Mimic().read(root)
    assert len(release.mentions) == 28
    assert release.texts["brief"]["text"].tolist()[0] == "English scientist 0"


def test_the_described_kb_beside_the_other_is_a_second_text(root: Path) -> None:
    more = [described(number, qid=None, answer=None) for number in range(7)] + [described(9, qid="Q9")]
    write_json(root / "kb_entity_desc.json", more)
    release = Mimic().read(root)
    assert release.texts["brief"]["text"].tolist()[0] == "Occupation: scientist 0."
    assert release.texts["desc"]["text"].tolist() == [f"English scientist {number}" for number in range(7)]
    assert any("that kb_entity.json lacks were left out: 1, first: Q9" in note for note in release.notes)


def test_attributes_and_description_of_one_row_are_two_texts(root: Path) -> None:
    write_kb(root, [entity(number, desc=f"English scientist {number}") for number in range(8)])
    release = Mimic().read(root)
    assert release.texts["brief"]["text"].tolist()[0] == "Occupation: scientist 0."
    assert release.texts["desc"]["text"].tolist()[0] == "English scientist 0"
