import pandas as pd

from dim.data.dataset import write_dataset
from dim.evaluation.breakdown import COLUMNS, describe


def test_every_column_says_what_it_claims(tmp_path):
    rows = {
        "id": ["t0", "d0", "d1", "d2", "u0", "e0"],
        "split": ["train", "dev", "dev", "dev", "tune", "test"],
        "mention": ["Ann Lee", "ANN LEE", "Annie", "Zoe", "Annie", "Annie"],
        "context": ["Ann Lee sings", "she sings", "Ann Lee sings", "Zoe", "Zoe", "Zoe"],
        "entity_id": ["a", "a", "b", None, "b", "b"],  # no model is trained on tune or test
        "images": [["1.jpg"], ["1.jpg", "2.jpg"], [], [], [], []],
        "caption": [None, "a woman", None, None, None, None],
        "type": ["person", "person", None, None, None, None],
    }
    entities = {
        "id": ["a", "b", "c"],
        "name": ["Ann Lee", "Annie Stone", "Ann Lee"],
        "aliases": [["Annie"], [], ["annie", "Annie"]],
        "popularity": [3.0, None, 5.0],
    }
    dataset = write_dataset(tmp_path, name="d", entities=pd.DataFrame(entities), texts={}, mentions=pd.DataFrame(rows))
    found = describe(dataset, dataset.split("dev"))
    assert list(found) == list(COLUMNS)
    assert found["seen_in_train"].tolist() == [True, False, False]
    assert found["caption_in_train"].tolist() == [True, True, False]  # by the image; by the sentence; alone
    assert found["mention_is_name"].tolist() == [True, False, False]
    assert found["ambiguity"].tolist() == [2, 2, 0]
    assert found["popularity"].isna().tolist() == [False, True, True]
    assert found["has_image"].tolist() == [True, False, False]
    assert found["has_caption"].tolist() == [True, False, False]
    assert found["image"].tolist() == ["1.jpg", None, None]
