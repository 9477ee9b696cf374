"""Entities come and go without training."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from demo_run import demo_run, linker_of, questions_of

from dim.errors import DataError
from dim.linker import Answer, Entity, Linker
from dim.linker.answer import question_of
from dim.linker.knowledge import Knowledge, entity_of

WORDS = ["Anchorite", "Basalt", "Cinnabar", "Dolomite", "Emerald", "Feldspar", "Garnet", "Hematite", "Iron", "Jasper"]
NEW = Entity("new1", "Zyxtral Quovane", ("Old Zyx",), "Zyxtral Quovane kept bees in the tower of Grumhold.")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture
def linker(run: Path) -> Linker:
    return linker_of(run)


def known_answers(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.id != "NIL"]


def ids(linker: Linker, *asked: str, top_k: int = 100) -> list[str]:
    return [answer.id for answer in known_answers(linker.link(*asked, top_k=top_k))]


def test_requests_and_entities_have_one_unicode_form_whatever_was_sent() -> None:
    sent = {key: unicodedata.normalize("NFD", value) for key, value in {"id": "é1", "name": "김구"}.items()}
    entity = entity_of(sent | {"aliases": [sent["name"]], "text": sent["name"]})
    assert entity == Entity("é1", "김구", ("김구",), "김구")
    knowledge = Knowledge({0: entity}, 1)
    assert knowledge.row(sent["id"]) == knowledge.row("é1") == 0
    assert sent["id"] in knowledge
    with pytest.raises(DataError, match="there already"):
        knowledge.add([entity_of(sent)])
    asked = question_of({"mention": sent["name"], "context": sent["name"] * 2})
    assert (asked.mention, asked.context) == ("김구", "김구김구")


def test_an_added_entity_is_linkable_at_once_by_name_alias_and_text(linker: Linker) -> None:
    assert "new1" not in ids(linker, "Zyxtral Quovane")
    linker.add_entities([NEW])
    assert len(linker) == 301
    assert ids(linker, "Zyxtral Quovane", top_k=2)[0] == "new1"
    by_alias = {answer.id: answer for answer in known_answers(linker.link("Old Zyx", top_k=100))}
    assert by_alias["new1"].evidence["name"] == max(answer.evidence["name"] for answer in by_alias.values())
    assert (by_alias["new1"].name, by_alias["new1"].text) == (NEW.name, NEW.text)


def test_an_added_entity_is_found_by_a_name_in_letters_that_the_kb_had_not(linker: Linker) -> None:
    places = ["東京都", "京都府", "大阪市", "名古屋", "札幌市", "福岡県"]
    linker.add_entities([{"id": name, "name": name} for name in places])
    for name in places:
        named = {answer.id: answer.evidence["name"] for answer in known_answers(linker.link(name, top_k=100))}
        assert named[name] == pytest.approx(1)
        assert max(named, key=named.__getitem__) == name


def test_what_is_said_of_added_entities_tells_them_apart(linker: Linker) -> None:
    texts = [entity.text for entity in linker.knowledge if entity.text][:20]
    twins = [Entity(f"twin{i}", "Zyxtral Quovane", text=text) for i, text in enumerate(texts)]
    linker.add_entities(twins)
    num_right = 0
    for twin in twins:
        answers = linker.link(twin.name, twin.text or "", candidates=[other.id for other in twins], top_k=100)
        num_right += max(known_answers(answers), key=lambda a: a.evidence["vectors"]).id == twin.id
    assert num_right >= 15  # chance: 1


def test_an_entity_without_text_and_a_mapping_are_added(linker: Linker) -> None:
    linker.add_entities([{"id": "new2", "name": "Zyxtral Quovane"}])
    assert ids(linker, "Zyxtral Quovane", top_k=2)[0] == "new2"


def test_the_image_of_an_added_entity_counts(linker: Linker, run: Path, tmp_path: Path) -> None:
    image = next(str(question.image) for question in questions_of(run) if question.image)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    linker.add_entities(
        [
            {"id": "with", "name": "Zyxtral Quovane", "images": [str(broken), image]},  # the first usable one
            {"id": "without", "name": "Zyxtral Quovane"},
        ]
    )
    vectors = {answer.id: answer.evidence["vectors"] for answer in known_answers(
        linker.link("Zyxtral Quovane", image=image, candidates=["with", "without"])
    )}  # fmt: skip
    assert abs(vectors["with"] - vectors["without"]) > 1e-4
    with pytest.raises(DataError, match="an image that can be read"):
        linker.add_entities([{"id": "other", "name": "Other", "images": [str(broken)]}])
    assert len(linker) == 302


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([{"id": "a", "name": "A name"}, {"id": "known", "name": "B"}], r"known there already"),
        ([{"id": "a", "name": "A name"}, {"id": "a", "name": "B"}], r"a more than once"),
        ([{"id": "a", "name": "A name"}, {"id": "b", "name": ""}], r"no name"),
        ([{"id": "a", "name": "A name"}, {"id": "b", "name": "  "}], r"no name"),
        ([{"id": "a", "name": "A name"}, {"name": "B"}], r"no id"),
        ([{"id": "a", "name": "A name"}, {"id": "NIL", "name": "B"}], r"'NIL', which says that the KB has none"),
        ([{"id": "a", "name": "A name"}, {"id": "b", "name": "B", "alias": ["C"]}], r"the field alias"),
        ([{"id": "a", "name": "A name"}, {"id": "b", "name": "B", "aliases": {"C": 1}}], r"texts as aliases"),
        ([{"id": "a", "name": "A name"}, {"id": "b", "name": "\ud83d"}], r"half of one, U\+D83D"),
        ([{"id": "a", "name": "A name"}, {"id": "b", "name": [5]}], r"an array"),
    ],
)
def test_entities_that_cannot_be_added_leave_the_kb_as_it_was(
    linker: Linker, entities: list[dict[str, object]], message: str
) -> None:
    known = next(iter(linker.knowledge)).id
    entities = [{**entity, "id": known} if entity.get("id") == "known" else entity for entity in entities]
    before = linker.link("A name", top_k=20)
    with pytest.raises(DataError, match=message.replace("known there", f"{known} there")):
        linker.add_entities(entities)
    assert len(linker) == 300
    assert linker.link("A name", top_k=20) == before
    linker.add_entities([NEW])
    assert ids(linker, NEW.name, top_k=2)[0] == "new1"


def test_a_removed_entity_never_comes_back(linker: Linker) -> None:
    gone = list(linker.knowledge)[:40]
    name = gone[0].name
    assert ids(linker, name)[0] == gone[0].id
    linker.add_entities([NEW])
    linker.remove_entities([*(entity.id for entity in gone), "new1"])
    assert len(linker) == 260
    for entity in (*gone, NEW):
        assert not {entity.id for entity in (*gone, NEW)} & set(ids(linker, entity.name, entity.text or ""))
    with pytest.raises(DataError, match="Give the id of an entity"):
        linker.link(name, candidates=[gone[0].id])
    linker.add_entities([{"id": "later", "name": "Somebody Else"}])
    assert gone[0].id not in ids(linker, name)
    linker.add_entities([gone[0]])  # and may be added anew
    assert gone[0].id in ids(linker, name, gone[0].text or "")


def test_removing_what_the_kb_lacks_removes_nothing(linker: Linker) -> None:
    known = next(iter(linker.knowledge)).id
    with pytest.raises(DataError, match="'nobody'"):
        linker.remove_entities([known, "nobody"])
    assert known in linker.knowledge
    linker.remove_entities([known, known])
    assert len(linker) == 299


def test_a_kb_may_become_empty_and_grow_again(linker: Linker, tmp_path: Path) -> None:
    linker.remove_entities([entity.id for entity in linker.knowledge])
    assert len(linker) == 0
    assert ids(linker, "Ada Velton") == []
    linker.save(tmp_path / "empty")
    again = Linker.from_pretrained(tmp_path / "empty")
    with pytest.raises(DataError, match="Add some first"):
        again.rebuild_index()
    again.add_entities([NEW])
    assert ids(again, NEW.name) == ["new1"]


def test_a_thousand_entities_are_added_at_once(linker: Linker) -> None:
    names = [f"{first} {second} {third}" for first in WORDS for second in WORDS for third in WORDS]
    linker.add_entities([Entity(f"n{i}", name, text=f"{name} is a stone.") for i, name in enumerate(names)])
    assert len(linker) == 1300
    chosen = np.random.default_rng(0).choice(1000, 25, replace=False)
    found = linker.link_batch([{"mention": names[i], "context": f"{names[i]} is a stone."} for i in chosen], top_k=100)
    for i, answers in zip(chosen, found, strict=True):
        best = max(known_answers(answers), key=lambda a: (round(a.evidence["name"], 5), a.evidence["vectors"]))
        # Names of the same words in another order have the same n-grams.
        assert sorted(best.name.split()) == sorted(names[i].split())
        assert f"n{i}" in {answer.id for answer in answers}


def test_a_new_index_answers_as_the_old_one_and_the_additions(linker: Linker) -> None:
    linker.add_entities([NEW])
    linker.remove_entities([next(iter(linker.knowledge)).id])
    before = linker.link("Velton", "Velton kept bees.", top_k=20)
    linker.rebuild_index()
    after = linker.link("Velton", "Velton kept bees.", top_k=20)
    assert [answer.id for answer in after] == [answer.id for answer in before]
    assert [answer.score for answer in after] == pytest.approx([answer.score for answer in before], abs=1e-5)
    assert (linker.index.num_added, len(linker.index)) == (0, 300)
