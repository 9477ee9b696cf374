"""Every baseline through the real command, on a small demo world, against figures computed by other means."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from fit_options import fit_options

from dim.__main__ import main
from dim.data.dataset import Dataset, write_dataset
from dim.demo import demo_world
from dim.encoders.tiny import TinyTextEncoder
from dim.methods.baselines.bm25 import BM25
from dim.methods.baselines.bm25_index import words
from dim.methods.baselines.names import NamesAndPopularity, NamesOnly
from dim.search import scores as sliced


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines")
    demo_world(folder / "world", num_entities=300, seed=3)
    return folder


def fit(place, name, *more, root="world"):
    return main(["fit", *fit_options(place / root, place / name, *more)])


def results(place, name):
    metrics = json.loads((place / name / "metrics.json").read_text())
    return metrics, pd.read_parquet(place / name / "ranks.parquet")


def gold_rank(scores, gold):
    return int((scores >= scores[gold] - 1e-6).sum())


def test_names_only_is_the_floor_and_needs_no_encoder_and_no_checkpoint(place):
    assert fit(place, "names", "--model", "NamesOnly") == 0
    metrics, ranks = results(place, "names")
    assert metrics["mrr"] == metrics["floor"]["mrr"]
    assert metrics["frozen"] is None
    assert "frozen_rank" not in ranks
    assert not (place / "names" / "checkpoints").exists()
    assert main(["test", "--config", str(place / "names" / "config.yaml")]) == 0
    assert set(results(place, "names")[0]["results"]) == {"dev", "test"}


def test_bm25_gives_the_ranks_of_the_formula(place):
    assert fit(place, "bm25", "--model", "BM25", "--model.query", "{mention} {context}") == 0
    _, ranks = results(place, "bm25")
    dataset = Dataset(place / "world")
    texts = dataset.texts("brief").fillna("")
    documents = words([f"{name} {text}" for name, text in zip(dataset.entities["name"], texts, strict=True)])
    average = np.mean([len(document) for document in documents])
    for _, row in ranks[ranks["gold"].notna()].head(5).iterrows():
        mention = dataset.mention(row["mention_id"])
        (query,) = words([f"{mention.mention} {mention.context}"])
        scores = np.zeros(len(documents))
        for word in query:
            counts = np.array([document.count(word) for document in documents])
            holders = int((counts > 0).sum())
            if holders:
                inverse = math.log(1 + (len(documents) - holders + 0.5) / (holders + 0.5))
                lengths = np.array([len(document) for document in documents])
                scores += inverse * counts / (counts + 1.5 * (1 - 0.75 + 0.75 * lengths / average))
        gold = dataset.entity_index.get_loc(row["gold"])
        assert row["rank"] == gold_rank(np.round(scores, 6), gold)


def test_bm25_of_no_word_finds_nothing(tmp_path):
    mentions = pd.DataFrame({"id": ["m"], "split": "dev", "mention": "A", "context": "the", "entity_id": "a"})
    entities = pd.DataFrame({"id": ["a", "b"], "name": ["A Z", "Bob"]})
    write_dataset(tmp_path / "world", name="w", entities=entities, texts={}, mentions=mentions)
    assert fit(tmp_path, "run", "--model", "BM25") == 0
    assert results(tmp_path, "run")[1]["rank"].tolist() == [2]  # both entities have score 0


def test_frozen_vectors_equal_sums_of_unit_vectors_by_hand(place):
    text = ["--data.text_encoder", "TinyTextEncoder", "--data.text_encoder.width", "64"]
    fields = ["--model.mention_fields", "[mention]", "--model.entity_fields", "[name, text]"]
    assert fit(place, "frozen", *text, "--model", "FrozenVectors", *fields) == 0
    _, ranks = results(place, "frozen")
    dataset, encoder = Dataset(place / "world"), TinyTextEncoder(width=64)

    def unit(texts):
        vectors = encoder.encode_text(texts)
        vectors[[not text for text in texts]] = 0
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    kb = unit(dataset.entities["name"].tolist()) + unit([text or "" for text in dataset.texts("brief")])
    kb /= np.linalg.norm(kb, axis=1, keepdims=True)
    rows = ranks[ranks["gold"].notna()].head(10)
    queries = unit([dataset.mention(mention_id).mention for mention_id in rows["mention_id"]])
    for scores, gold, rank in zip(queries @ kb.T, rows["gold"], rows["rank"], strict=True):
        assert rank == gold_rank(scores, dataset.entity_index.get_loc(gold))


def test_fields_of_two_spaces_or_without_encoder_are_refused(place, capsys):
    text = ["--data.text_encoder", "TinyTextEncoder", "--data.text_encoder.width", "64", "--model", "FrozenVectors"]
    assert fit(place, "x", *text, "--model.mention_fields", "[image]") == 1
    assert "no image" in capsys.readouterr().err
    both = ["--data.image_encoder", "TinyImageEncoder", "--model.mention_fields", "[mention, image]"]
    assert fit(place, "x", *text, *both, "--overwrite", "true") == 1
    assert "fields of one vector space" in capsys.readouterr().err


@pytest.mark.parametrize("size", [7, 65_536])
def test_popularity_chooses_its_weight_on_tune_and_decides_between_equal_names(tmp_path, size, monkeypatch):
    monkeypatch.setattr(sliced, "SLICE", size)
    num = 60
    entities = pd.DataFrame(
        {
            "id": [f"e{i}" for i in range(2 * num)],
            "name": [f"Name{i % num:03d}" for i in range(2 * num)],
            "popularity": [10.0] * num + [5000.0] * num,
        }
    )
    mentions = pd.DataFrame(
        {
            "id": [f"m{i}" for i in range(num)],
            "split": ["tune"] * (num // 2) + ["dev"] * (num // 2),
            "mention": [f"Name{i:03d}" for i in range(num)],
            "entity_id": [f"e{i + num}" for i in range(num)],  # the better known bearer
        }
    )
    write_dataset(tmp_path / "world", name="w", entities=entities, texts={}, mentions=mentions)
    assert fit(tmp_path, "run", "--model", "NamesAndPopularity") == 0
    metrics, _ = results(tmp_path, "run")
    assert metrics["floor"]["top1"] == 0.0  # a tie counts against the gold
    assert metrics["top1"] == 1.0
    assert metrics["chosen"]["weight"] > 0


def test_a_kb_without_popularity_names_the_column_to_add(tmp_path, capsys):
    mentions = pd.DataFrame({"id": ["m"], "split": "dev", "mention": "Ann", "entity_id": "a"})
    entities = pd.DataFrame({"id": ["a", "b"], "name": ["Ann", "Bob"]})
    write_dataset(tmp_path / "world", name="w", entities=entities, texts={}, mentions=mentions)
    assert fit(tmp_path, "run", "--model", "NamesAndPopularity") == 1
    assert "Add a column popularity" in capsys.readouterr().err


def test_what_is_left_out_or_shuffled_reaches_no_model(place, capsys):
    assert fit(place, "with", "--model", "BM25") == 0
    assert fit(place, "without", "--model", "BM25", "--data.leave_out", "[text]") == 0
    assert fit(place, "shuffled", "--model", "BM25", "--data.shuffle", "[text]") == 0
    figures = [results(place, name)[0]["mrr"] for name in ("with", "without", "shuffled")]
    assert len(set(figures)) == 3
    assert results(place, "shuffled")[0]["features"]["shuffle"] == "text"
    assert fit(place, "wrong", "--model", "BM25", "--data.leave_out", "[texts]") == 1
    assert "Did you mean text?" in capsys.readouterr().err


def test_untrained_methods_say_that_there_is_nothing_to_train():

    with pytest.raises(NotImplementedError, match="NamesOnly has no weights"):
        NamesOnly().loss_of(None)


def test_a_linker_searches_by_names_alone_where_nothing_else_is_scored():
    class Longer(NamesOnly):
        def scores_for(self, mentions, contexts, device):
            raise NotImplementedError

    assert NamesOnly().counted == "names"
    assert NamesOnly(aliases=True).counted == "names and aliases"
    assert Longer().counted is NamesAndPopularity(weight=0.1).counted is BM25().counted is None
