"""What callers hand over in any form: taken where its meaning is clear, else refused by name, nothing half done."""

import pickle
from collections import namedtuple
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from demo_run import demo_run, linker_of, questions_of, world_of
from PIL import Image

import dim.linker.known_entity
from dim.data.dataset import Mention
from dim.errors import ConfigError, DataError
from dim.linker import Answer, Entity, Linker, Question
from dim.linker.answer import question_of, shortened
from dim.linker.answer import questions_of as questions_in
from dim.linker.each import link_each
from dim.linker.knowledge import entities_of

Row = namedtuple("Row", ["Index", "mention", "context"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    """A linker that tests leave as it is."""
    return linker_of(run)


def ids(answers: list[Answer]) -> list[str]:
    return [answer.id for answer in answers]


JORDAN = Question("Jordan", "Jordan sings.")


@pytest.mark.parametrize(
    "given",
    [
        [JORDAN],
        (JORDAN,),
        iter([JORDAN]),
        (question for question in [JORDAN]),
        [{"mention": "Jordan", "context": "Jordan sings."}],
        [{"mention": " Jordan ", "context": "Jordan sings.", "mention_id": 7, "gold": ["Q1"], "image": float("nan")}],
        [{"mention": np.str_("Jordan"), "context": np.str_("Jordan sings."), "candidates": None, "image": ""}],
        [Mention("m1", "Jordan", "Jordan sings.", entity_id="Q1")],
        [Row(3, "Jordan", "Jordan sings.")],
        pd.DataFrame({"mention": ["Jordan"], "context": ["Jordan sings."], "image": [np.nan], "candidates": [pd.NA]}),
        [row for _, row in pd.DataFrame({"mention": ["Jordan"], "context": ["Jordan sings."]}).iterrows()],
        pa.table({"mention": ["Jordan"], "context": ["Jordan sings."]}),
        pd.DataFrame({"Mention": ["Jordan"], " CONTEXT ": ["Jordan sings."], "Start": [0], "end": [6], 5: ["x"]}),
    ],
)
def test_questions_are_taken_in_each_form_whose_meaning_is_clear(given: Any) -> None:
    assert [replace(question, span=None) for question in questions_in(given)] == [JORDAN]


def test_offsets_count_the_text_as_it_is_given() -> None:
    decomposed = "Cafe\u0301 Ana\u0308."
    row = {"mention": "An\u00e4", "context": decomposed, "start": 6, "end": 10}
    assert question_of(row) == Question("An\u00e4", "Caf\u00e9 An\u00e4.", span=(5, 8))
    for without in ({"start": None}, {"end": np.nan}, {"context": ""}):
        assert question_of(row | {"start": 3} | without).mention == "An\u00e4"


@pytest.mark.parametrize("span", [(3, 3), (-1, 2), (0, 99), (0,), "ab", (0.0, 2.0), [True, 2]])
def test_a_span_that_marks_no_place_of_the_context_is_named(span: Any) -> None:
    with pytest.raises(DataError, match=r"a span \(start, end\) in a context of 13 characters"):
        Question("Jordan", "Jordan sings.", span=span)


def test_of_a_very_long_context_the_middle_is_the_mention_that_the_span_marks_where_it_is_cut_once_more() -> None:
    context = "Ada " * 9_000 + "Ada! " + "Ada " * 9_000
    start = context.index("Ada!")
    question = Question("Ada", context, span=(start, start + 3))
    cut = shortened(question, is_cut=True)
    assert cut.span == (10_000, 10_003)
    assert cut.context == context[start - 10_000 : start + 10_000]
    near = Question("Ada", context[start - 500 : start + 19_500], span=(500, 503))
    assert shortened(question) == near  # read from its start
    assert shortened(Question("Ada", context)) == Question("Ada", context[:20_000])
    assert shortened(Question("Ada", "x" * 30_000 + "Ada"), is_cut=True).context == "x" * 10_000 + "Ada"


def test_a_mention_of_a_dataset_is_asked_where_it_stands() -> None:
    given = Mention("m", "Ada", "Ada met Ada", np.int64(8), np.int64(11), None)  # type: ignore[arg-type]
    assert question_of(given) == Question("Ada", "Ada met Ada", span=(8, 11))
    assert question_of(Mention("m", "Ada", "", 8, 11, None)).span is None


@pytest.mark.parametrize(
    "given", [["Jordan", "Ada"], np.array(["Jordan", "Ada"]), pd.Series(["Jordan", "Ada"]), ("Jordan", np.str_("Ada"))]
)
def test_names_alone_are_questions(given: Any) -> None:
    assert questions_in(given) == [Question("Jordan"), Question("Ada")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Jordan", r"questions in a list, or the rows of a table\nfound    'Jordan'\nto do    Put a single question"),
        (b"Jordan", "found    a bytes"),
        (None, "found    None"),
        (7, "found    7"),
        (JORDAN, "found    a Question"),
        ({"mention": "Jordan"}, r"found    \{'mention': 'Jordan'\}"),
        (pd.Series({"mention": "Jordan"}), "found    a Series"),
        (Row(0, "Jordan", ""), "questions in a list"),
        ({"Jordan", "Ada"}, "a set, which has no order"),
        ([("Jordan", "Jordan sings.")], r"as question 0\nfound    \('Jordan', 'Jordan sings.'\)"),
        (["Jordan", None], r"as question 1\nfound    None"),
        (["Jordan", b"Ada"], r"as question 1\nfound    a bytes"),
        ([{"mantion": "x"}], r"in question 0\nfound    the field mantion\nto do    Rename it: mention\."),
        ([{"mention": "x", "kontext": "y"}], r"the field kontext\nto do    Rename it: context\."),
        ([{"name": "x", 3: "y"}], r"the field mention, or image, in question 0\nfound    the fields name, 3"),
        ([{}], "found    the fields none"),
        ([{"mention": ["x"]}], r"text as mention in question 0\nfound    an array"),
        ([{"mention": True}], "found    a boolean"),
        ([{"mention": b"x"}], r"found    bytes\nto do    Decode the bytes\."),
        ([{"mention": float("nan")}], "a mention, or an image, in question 0\nfound    neither"),
        (pd.DataFrame({"mention": ["Bardini", np.nan]}), "a mention, or an image, in question 1\nfound    neither"),
        ([*["x"] * 40, ""], "a mention, or an image, in question 40\nfound    neither"),
        (["x", "Ada \ud800"], r"whole characters in the mention, in question 1\nfound    half of one"),
        ([JORDAN, {"mention": "y" * 2000}], "at most 1,000 characters, in question 1"),
        ([{"mention": "x", "image": 5}], "an image as a path.*, in question 0\nfound    5"),
        (
            [*[JORDAN] * 70, {"mention": "x", "image": "gone.png"}],
            "that can be read, in question 70\nfound    gone.png",
        ),
        ([JORDAN, {"mention": "x", "candidates": "Q0"}], "one of 300 entities, in question 1\nfound    'Q0'"),
        ([{"mention": "x", "image": np.zeros((2, 2))}], "an image as a path"),
        ([{"mention": "x", "image": {"path": "a"}}], "an image as a path"),
        ([{"mention": "x", "candidates": {"Q1": 0.5}}], "texts as candidates in question 0\nfound    an object"),
        (pd.DataFrame({"name": ["x"]}), "found    the fields name"),
        (
            [JORDAN, {"mention": "Velton", "context": "To Velton.", "start": 4, "end": 10}],
            r"start and end of the mention 'Velton' in question 1\nfound    'elton\.' at 4 to 10\nto do    Count",
        ),
        (pd.DataFrame({"mention": ["x"], "context": ["a x"], "start": [-1], "end": [3]}), "found    '' at -1 to 3"),
        ([{"mention": "x", "context": "a x", "start": 1.0, "end": "1"}], "found    '' at 1 to 1"),
    ],
)
def test_what_is_no_question_is_refused_by_name(linker: Linker, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        linker.link_batch(given)


def test_a_question_that_is_asked_alone_needs_no_number(linker: Linker) -> None:
    for given in ({"image": "gone.png"}, {"candidates": "Q0"}):
        with pytest.raises(DataError) as alone:
            linker.link("x", **given)  # type: ignore[arg-type]
        assert "question" not in str(alone.value)
        one, other = link_each(linker, [JORDAN, Question("x", **given)], 5)  # type: ignore[arg-type]
        assert isinstance(one, list)
        assert str(other) == str(alone.value)
        with pytest.raises(DataError) as among:
            linker.link_batch([JORDAN, Question("x", **given)])  # type: ignore[arg-type]
        assert str(pickle.loads(pickle.dumps(among.value))) == str(among.value)


def test_what_link_is_given_is_taken_where_its_meaning_is_clear(linker: Linker) -> None:
    expected = linker.link("Velton", "")
    assert linker.link(np.str_("Velton"), None) == linker.link("Velton", float("nan")) == expected  # type: ignore[arg-type]
    assert linker.link("Velton", image=float("nan"), candidates=pd.NA) == expected  # type: ignore[arg-type]
    assert ids(linker.link(1984)) == ids(linker.link("1984"))  # type: ignore[arg-type]
    assert linker.link("Velton", top_k=np.int64(3)) == expected[:3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mention": None}, "a mention, or an image\nfound    neither"),
        ({"mention": b"Ada"}, r"text as mention\nfound    a bytes\nto do    Decode the bytes\."),
        ({"mention": ["Ada"]}, r"text as mention\nfound    \['Ada'\]"),
        ({"mention": True}, r"text as mention\nfound    True"),
        ({"mention": "Ada", "context": b"Ada"}, "text as context"),
        ({"mention": "Ada", "image": 5}, "an image as a path"),
        ({"mention": "Ada", "image": "https://a.org/b.jpg"}, "Download it first: no URL is fetched"),
        ({"mention": "Ada", "candidates": 5.5}, r"ids of entities as candidates\nfound    5\.5"),
        ({"mention": "Ada", "candidates": [None]}, r"ids of entities as candidates\nfound    None"),
        ({"mention": "Ada", "candidates": [["Q1"]]}, r"ids of entities as candidates\nfound    \['Q1'\]"),
    ],
)
def test_what_link_cannot_mean_is_refused(linker: Linker, given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        linker.link(**given)


def test_candidates_in_each_form_compete(linker: Linker) -> None:
    first, second = [entity.id for entity in linker.knowledge][:2]
    known = [linker.knowledge.entities[linker.knowledge.row(name)] for name in (first, second)]
    assert ids(linker.link("Velton", candidates=first)) == [first]
    expected = linker.link("Velton", candidates=[first, second])
    forms = ((first, second), f"{first}|{second}", {first, second}, np.array([first, second]), iter([first, second]))
    for given in (*forms, pd.Series([first, second]), {first: 1, second: 2}.keys(), known):
        assert linker.link("Velton", candidates=given) == expected
    assert linker.link_batch([{"mention": "Velton", "candidates": f"{first}|{second}"}])[0] == expected


def test_several_images_count_by_the_first_usable_one(linker: Linker, run: Path) -> None:
    path = next(str(question.image) for question in questions_of(run) if question.image)
    expected = linker.link("Velton", image=path)
    assert linker.link("Velton", image=["absent.png", Path(path)]) == expected
    rows: list[Any] = [
        {"mention": "Velton", "image": f"absent.png|{path}"},
        {"mention": "Velton", "images": np.array([path], dtype=object)},
        {"mention": "Velton", "image": Path(path).read_bytes()},
        {"mention": "Velton", "image": Path(path)},
    ]
    with Image.open(path) as image:
        found = linker.link_batch([*rows, {"mention": "Velton", "image": image}])
    for answers in found:
        assert ids(answers) == ids(expected)
        assert [a.score for a in answers] == pytest.approx([a.score for a in expected], abs=1e-5)


@pytest.mark.parametrize("top_k", ["5", None, 2.0, True, 0, -1])
def test_a_top_k_that_is_none_is_refused(linker: Linker, top_k: Any) -> None:
    with pytest.raises(ConfigError, match="top_k of at least 1"):
        linker.link("Velton", top_k=top_k)
    with pytest.raises(ConfigError, match="top_k of at least 1"):
        linker.annotate("Velton", [(0, 6)], top_k=top_k)


def test_one_pair_is_a_span_and_what_is_none_is_refused(linker: Linker) -> None:
    expected = linker.annotate("Velton sings.", [(0, 6)])
    assert linker.annotate("Velton sings.", (0, 6)) == linker.annotate("Velton sings.", np.array([0, 6])) == expected
    for spans in (1.5, 3):
        with pytest.raises(DataError, match=r"Give a list: \[\(start, end\)\]"):
            linker.annotate("Velton sings.", spans)  # type: ignore[arg-type]


ADA = Entity("9", "Ada", ("A.", "B."), "A poet.", "person", 5.0, ("a.png", "b.png"))


@pytest.mark.parametrize(
    "given",
    [
        ADA,
        [ADA],
        {"id": 9, "name": "Ada", "aliases": "A.|B.", "description": "A poet.", "type": "person", "popularity": "5",
         "image": "a.png|b.png"},
        {"id": 9.0, "name": "Ada", "aliases": ("A.", "B."), "text": "A poet.", "type": "person", "popularity": 5,
         "images": [Path("a.png"), "b.png"], "born": 1815, "attributes": {}},
        pd.DataFrame({"id": [9], "name": ["Ada"], "aliases": ['["A.", "B."]'], "description": ["A poet."],
                      "type": ["person"], "popularity": [5.0], "image": [["a.png", "b.png"]], "born": [1815]}),
        pa.table({"id": [9], "name": ["Ada"], "aliases": [["A.", "B."]], "text": ["A poet."], "type": ["person"],
                  "popularity": [5], "images": [["a.png", "b.png"]]}),
        {"ID": "9", "Name": "Ada", "Aliases": "A.; B.", "description": np.nan, "Text ": "A poet.", "type": "person",
         "Popularity": 5, "images": "a.png;b.png"},
        {"id": "9", "name": "Ada", "aliases": "A.|B.", "description": "A poet.", "text": " A poet.", "type": "person",
         "popularity": 5, "images": ["a.png", "b.png"]},
    ],
)  # fmt: skip
def test_entities_are_taken_in_each_form_whose_meaning_is_clear(given: Any) -> None:
    assert entities_of(given) == [ADA]


@pytest.mark.parametrize(
    ("texts", "aliases", "said"),
    [
        (["a;b", "c"], [("a", "b"), ("c",)], "aliases of entities: ';' was read as a separator, in 1 cells; a list in"),
        (["a;b|c", "d;e"], [("a;b", "c"), ("d;e",)], ""),
        (["a&amp;b", "c;d"], [("a&amp;b",), ("c;d",)], "2 cells hold ';', such as 'a&amp;b', and were kept as one"),
        (["a, b", ["c;d"]], [("a, b",), ("c;d",)], "1 cells hold ',', such as 'a, b', and were kept as one value each"),
        ([["a;b"], None], [("a;b",), ()], ""),
    ],
)
def test_a_text_of_several_aliases_is_cut_as_prepare_cuts_it(
    caplog: pytest.LogCaptureFixture, texts: list[Any], aliases: list[tuple[str, ...]], said: str
) -> None:
    found = entities_of([{"id": str(place), "name": "Ada", "aliases": text} for place, text in enumerate(texts)])
    assert [entity.aliases for entity in found] == aliases
    assert [record.name for record in caplog.records] == (["dim"] if said else [])
    assert said in caplog.text
    assert "--list_separator" not in caplog.text


def test_what_an_entity_lacks_is_missing_in_each_form() -> None:
    bare = Entity("9", "Ada")
    row = {"id": "9", "name": "Ada", "description": np.nan, "aliases": None, "image": "", "popularity": pd.NA}
    assert entities_of([row]) == entities_of(pd.DataFrame([row])) == entities_of([Entity("9", "Ada")]) == [bare]
    assert entities_of([Entity("9", "Ada", ("A.",), None, "x", 2.0, ("a.png",), {"born": 1815})]) == [
        Entity("9", "Ada", ("A.",), None, "x", 2.0, ("a.png",))
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Ada", "entities in a list, or the rows of a table\nfound    'Ada'"),
        (None, "found    None"),
        (["Ada"], r"as entity 0\nfound    'Ada'"),
        ([ADA, None], r"as entity 1\nfound    None"),
        ([{"id": "8", "name": "B"}, {"id": np.nan, "name": "Ada"}], r"an id and a name in entity 1\nfound    no id"),
        ([{"id": "9", "name": None}], "found    no name; the fields: id, name"),
        ([{"id": "9", "name": ["Ada"]}], r"text as name in entity 0\nfound    an array"),
        (
            [{"id": "9", "name": "Ada", "image": b"PNG"}],
            r"paths of files as image in entity 0\nfound    bytes\nto do    Put",
        ),
        ([{"id": "9", "name": "Ada", "images": [Image.new("RGB", (4, 4))]}], "paths of files as images in entity 0"),
        ([{"id": "9", "name": "Ada", "popularity": "high"}], "a number or nothing in entity 0, column popularity"),
        ([{"id": "9", "name": "Ada", "descripton": "x"}], r"the field descripton\nto do    Rename it: description\."),
        (pd.DataFrame({"id": ["9"], "label": ["Ada"]}), "no name; the fields: id, label"),
        (Entity("9", ""), "an entity with an id and a name\nfound    id '9', name ''\nto do    Give both"),
        ([ADA, Entity("\x1f", "Ada")], "an entity with an id and a name"),
        (Entity("NIL", "Ada"), "'NIL', which says that the KB has none"),
        (
            [ADA, {"id": "8", "name": "B", "text": "x", "description": "y"}],
            r"description or text in entity 1\nfound    both, which differ: 'y', 'x'\nto do    Take one",
        ),
        (
            [{"id": "8", "name": "B", "aliases": "C;D \ud800"}],
            "whole characters in the texts of entity 0",
        ),
    ],
)
def test_what_is_no_entity_is_refused_and_nothing_is_added(linker: Linker, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        linker.add_entities(given)
    assert len(linker) == len(linker.names) == 300


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"aliases": "Lovelace"}, r"a list as aliases of an entity\nfound    'Lovelace'"),
        ({"images": "a.png"}, "a list as images"),
        ({"images": (b"PNG",)}, "paths of files as images of an entity\nfound    a bytes\nto do    Write it to a file"),
        ({"popularity": "5"}, "a number as popularity"),
    ],
)
def test_an_entity_of_wrong_fields_is_refused_where_it_is_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Entity("9", "Ada", **fields)


def test_an_entity_takes_paths_and_lists() -> None:
    for images in ([Path("a.png")], (Path("a.png"),)):
        made = Entity("9", "Ada", ["A."], images=images)  # type: ignore[arg-type]
        assert made == Entity("9", "Ada", ("A.",), images=("a.png",))


def test_there_is_one_entity_by_each_of_its_names() -> None:
    assert Entity is dim.Entity is dim.data.dataset.Entity is dim.linker.KnownEntity
    assert Entity is dim.linker.knowledge.KnownEntity is dim.linker.known_entity.KnownEntity
    assert pickle.loads(pickle.dumps(ADA)) == ADA
    assert {ADA, Entity(**asdict(ADA))} == {ADA}


@pytest.mark.parametrize(
    "form", [lambda name: name, lambda name: [name], lambda name: iter([name]), lambda name: np.array([name])]
)
def test_what_is_removed_may_be_named_in_each_form(run: Path, form: Callable[[str], Any]) -> None:
    linker = linker_of(run)
    known = next(iter(linker.knowledge)).id
    linker.remove_entities(form(known))
    assert known not in linker.knowledge
    assert len(linker) == 299


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("N2", r"the id of one of 300 entities\nfound    'N2'\nto do    Give the id"),
        (None, r"ids of entities as what is removed\nfound    None"),
        ({"id": "N2"}, r"found    \{'id': 'N2'\}"),
        (pd.DataFrame({"id": ["N2"]}), r"found    \{'id': 'N2'\}"),
        ([["N2"]], r"found    \['N2'\]"),
        (7, "'7'"),
    ],
)
def test_what_cannot_be_removed_is_named(linker: Linker, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        linker.remove_entities(given)
    assert len(linker) == 300


@pytest.mark.parametrize("part", ["index", "names"])
def test_an_addition_that_fails_in_the_middle_leaves_the_kb_as_it_was(
    run: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    linker = linker_of(run)
    before = linker.link("Ada", top_k=20)
    with monkeypatch.context() as patch:
        patch.setattr(getattr(linker, part), "add", raise_memory_error)
        with pytest.raises(MemoryError):
            linker.add_entities([{"id": "9", "name": "Ada"}])
    assert len(linker) == len(linker.index) == len(linker.names) == 300
    assert linker.link("Ada", top_k=20) == before
    linker.add_entities({"id": "9", "name": "Ada"})
    assert linker.link("Ada", top_k=1)[0].id == "9"


def test_an_entity_whose_vector_is_no_number_leaves_the_kb_as_it_was(run: Path) -> None:
    linker = linker_of(run)
    before = linker.link("Ada", top_k=20)
    encoder = linker.live.choices.text_encoder
    assert encoder is not None
    encode = encoder.encode_text
    encoder.encode_text = lambda texts: encode(texts) * (np.nan if "Bob" in texts else 1)  # type: ignore[method-assign]
    with pytest.raises(DataError, match="finite features of the field"):
        linker.add_entities([{"id": "8", "name": "Ada"}, {"id": "9", "name": "Bob"}])
    assert len(linker) == len(linker.index) == len(linker.names) == 300
    assert linker.link("Ada", top_k=20) == before


def raise_memory_error(*_: Any) -> None:
    raise MemoryError


def test_a_datasets_own_records_and_rows_are_questions(linker: Linker, run: Path) -> None:
    world = world_of(run)
    rows = world.split("dev").drop(columns="images")
    found = linker.link_batch(rows)
    record = world.mention(rows.iloc[0]["id"])
    assert ids(found[0]) == ids(linker.link(record.mention, record.context))
    assert question_of(record).image == record.images[0]
    assert len(found) == len(rows)


@pytest.mark.parametrize("kind", ["exakt", "", None, 5, "HNSW"])
def test_a_kind_of_index_that_is_none_is_refused_before_anything_is_read(linker: Linker, kind: Any) -> None:
    for call in (
        lambda: Linker.from_checkpoint("absent", index=kind),
        lambda: linker.rebuild_index(kind),
    ):
        with pytest.raises(ConfigError, match="the kind of an index as one of auto, exact, flat, ivf, hnsw"):
            call()
    for given, meant in (("exakt", "exact"), ("HNSW", "hnsw"), ("Flat", "flat")):
        with pytest.raises(ConfigError, match=f"Did you mean {meant}"):
            linker.rebuild_index(given)  # type: ignore[arg-type]


def test_other_choices_and_paths_that_are_none_are_refused(linker: Linker, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"images as one of copies, paths, none\nfound    'copy'"):
        linker.save(tmp_path / "model", images="copy")  # type: ignore[arg-type]
    for device in ("gpu", None, ["cpu"]):
        with pytest.raises(ConfigError, match="a device"):
            Linker.from_checkpoint(run, device=device)  # type: ignore[arg-type]
    for path in (None, "", 5):
        for call in (Linker.from_pretrained, Linker.from_checkpoint, linker.save):
            with pytest.raises(DataError, match="the path of"):
                call(path)  # type: ignore[operator]
    assert not list(tmp_path.iterdir())


def test_the_wrong_folder_is_told_by_what_it_is(linker: Linker, run: Path, tmp_path: Path) -> None:
    linker.save(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"a linker's folder\nto do    Use it as it is"):
        Linker.from_checkpoint(tmp_path / "model")
    for folder, message in (
        (run, r"a run of dim fit\nto do    Use Linker\.from_checkpoint, or write its linker"),
        (world_of(run).root, r"a dataset\nto do    Name the run"),
        (tmp_path / "model" / "names", rf"a part of one\nto do    Name {tmp_path / 'model'}"),
        (tmp_path / "model" / "linker.json", r"a file\nto do    Name the folder that holds it"),
        (tmp_path, "dim export RUN FOLDER"),
    ):
        with pytest.raises(DataError, match=message):
            Linker.from_pretrained(folder)
    with pytest.raises(ConfigError, match=rf"a part of a run\nto do    Name {run}"):
        Linker.from_checkpoint(run / "checkpoints" / "best.ckpt")
