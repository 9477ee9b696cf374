"""What is held out is nowhere but in questions whose answer is NIL."""

import json

import pandas as pd
import pytest

from dim.cli.hold_out import hold_out
from dim.data.dataset import MENTION_SCHEMA, Dataset, gold_ids, write_dataset
from dim.demo import demo_world
from dim.errors import ConfigError
from dim.reranker.held_out import draw_held_out, surname
from dim.reranker.held_out import hold_out as hold_out_of


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held_out") / "world"
    demo_world(folder, num_entities=300, seed=2)
    return folder


@pytest.fixture(scope="module")
def rest(whole, tmp_path_factory):
    out = tmp_path_factory.mktemp("rest") / "rest"
    from dim.releases.prepare import open_dataset

    prepared = open_dataset(whole, out.parent / "cache")
    hold_out(whole, out, share=0.2, seed=1, cache_dir=out.parent / "cache")
    return prepared, Dataset(out)


def test_confusable_entities_leave_a_namesake_and_trivial_ones_leave_nobody():
    names = [f"A{i} S{i % 40}" for i in range(100)] + [f"B{i} T{i}" for i in range(100)]
    kinds = draw_held_out(names, 0.2, seed=0)
    left = {surname(name) for row, name in enumerate(names) if row not in kinds}
    assert len(kinds) == 40
    assert all((surname(names[row]) in left) == (kind == "confusable") for row, kind in kinds.items())
    assert sum(kind == "trivial" for kind in kinds.values()) == 20
    assert draw_held_out(names, 0.2, seed=0) == kinds != draw_held_out(names, 0.2, seed=1)


def test_held_out_entities_are_in_no_kb_no_text_no_training_and_no_candidates(rest):
    whole, part = rest
    gone = set(whole.entities["id"]) - set(part.entities["id"])
    assert len(gone) == pytest.approx(0.2 * len(whole.entities), abs=2)
    assert part.variants == whole.variants
    for variant in part.variants:
        assert len(part.texts(variant)) == len(part.entities)
    assert not gone & set(part.mentions["entity_id"].dropna())
    was_gone = whole.mentions["entity_id"].isin(gone)
    asked = whole.mentions["id"][was_gone & ~whole.mentions["split"].isin(["train", "tune"])]
    rows = part.mentions.set_index("id")
    assert rows.loc[asked, "entity_id"].isna().all()
    kinds = {json.loads(known)["held_out"] for known in rows.loc[asked, "attributes"]}
    assert kinds <= {"confusable", "trivial"}
    taught = whole.mentions["id"][was_gone & whole.mentions["split"].isin(["train", "tune"])]
    assert not set(taught) & set(rows.index)
    assert len(part.mentions) == len(whole.mentions) - len(taught)


def test_the_rest_is_as_it_was(rest):
    whole, part = rest
    kept = whole.entities[whole.entities["id"].isin(part.entities["id"])].reset_index(drop=True)
    assert kept["name"].tolist() == part.entities["name"].tolist()
    for variant in part.variants:
        expected = whole.texts(variant).loc[part.entities["id"]]
        assert expected.where(expected.notna(), None).tolist() == part.texts(variant).tolist()


def test_a_share_out_of_range_and_a_taken_folder_are_refused(rest, whole):
    with pytest.raises(ConfigError, match="--share between 0 and 1"):
        hold_out(whole, rest[1].root, share=1.5)
    with pytest.raises(ConfigError, match=r"a dataset of dim hold-out, written before\nto do .*--overwrite true"):
        hold_out(whole, rest[1].root)


def test_of_several_golds_those_that_stay_are_the_golds(tmp_path):
    names = [f"A{i} S{i % 5}" for i in range(10)] + [f"B{i} T{i}" for i in range(10)]
    ids = [f"e{i}" for i in range(20)]
    kinds = {ids[row]: kind for row, kind in draw_held_out(names, 0.3, seed=0).items()}
    gone, stays = [i for i in ids if i in kinds], [i for i in ids if i not in kinds]
    golds = [[gone[0], stays[0], gone[1], stays[1]], gone[:2], [stays[0], gone[0]], gone[:2], [gone[0], stays[2]]]
    mentions = {
        "id": [f"m{i}" for i in range(5)],
        "split": ["dev", "dev", "dev", "train", "train"],
        "mention": "A",
        "context": "",
        "entity_id": [of[0] for of in golds],
        "other_golds": [of[1:] for of in golds],
    }
    entities = pd.DataFrame({"id": ids, "name": names})
    dataset = write_dataset(tmp_path / "d", name="d", entities=entities, texts={}, mentions=pd.DataFrame(mentions))
    found = hold_out_of(dataset, 0.3, seed=0)
    rows = found.mentions.set_index("id")
    assert gold_ids(rows) == [tuple(stays[:2]), (), (stays[0],), (stays[2],)]
    assert list(rows.index) == ["m0", "m1", "m2", "m4"]
    assert json.loads(rows.loc["m1", "attributes"])["held_out"] == kinds[gone[0]]
    assert (found.num_dropped, found.num_nil) == ({"train": 1}, {"dev": {kinds[gone[0]]: 1}})


def test_a_kb_without_mentions_is_held_out_too(tmp_path):
    entities = pd.DataFrame({"id": [f"Q{n}" for n in range(40)], "name": [f"A{n} S{n % 9}" for n in range(40)]})
    mentions = pd.DataFrame(columns=MENTION_SCHEMA.names)
    write_dataset(tmp_path / "kb", name="kb", entities=entities, texts={}, mentions=mentions)
    hold_out(tmp_path / "kb", tmp_path / "rest", share=0.2, cache_dir=tmp_path / "cache")
    assert len(Dataset(tmp_path / "rest").entities) == 32
