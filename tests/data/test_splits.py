import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dim.data.splits import caption_groups, carve_tune, draw_captions, draw_splits

ROW = st.tuples(
    st.sampled_from(["", "a", "b", "c", "d", "e"]), st.lists(st.sampled_from(["1", "2", "3", "4"]), max_size=2)
)


def table(rows: list[tuple[str, list[str]]], split: str = "train") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "mention": [f"m{n}" for n in range(len(rows))],
            "context": [context for context, _ in rows],
            "images": [images for _, images in rows],
            "split": split,
        }
    )


def groups_by_search(rows: list[tuple[str, list[str]]]) -> list[set[int]]:
    """The oracle: grow each group until nothing more joins."""
    groups: list[set[int]] = []
    for start in range(len(rows)):
        if any(start in group for group in groups):
            continue
        group = {start}
        while True:
            contexts = {rows[n][0] for n in group} - {""}
            images = {image for n in group for image in rows[n][1]}
            grown = {n for n, (c, i) in enumerate(rows) if n in group or c in contexts or images & set(i)}
            if grown == group:
                break
            group = grown
        groups.append(group)
    return groups


@given(st.lists(ROW, min_size=1, max_size=12))
def test_a_caption_is_all_that_hangs_together_by_contexts_and_images(rows: list[tuple[str, list[str]]]) -> None:
    numbers = caption_groups(table(rows))
    found = {frozenset(np.flatnonzero(numbers == number).tolist()) for number in set(numbers.tolist())}
    assert found == {frozenset(group) for group in groups_by_search(rows)}


@given(st.lists(ROW, min_size=2, max_size=40))
def test_a_draw_never_cuts_a_caption_and_never_takes_all_or_none(rows: list[tuple[str, list[str]]]) -> None:
    mentions = table(rows)
    groups = caption_groups(mentions)
    drawn = draw_captions(mentions, 0.1, "tune")
    assert not set(groups[drawn]) & set(groups[~drawn])
    if len(set(groups)) > 1:
        assert drawn.any()
        assert not drawn.all()
    else:
        assert not drawn.any()


def test_the_draw_does_not_depend_on_the_order_of_rows() -> None:
    mentions = table([(f"context {n // 2}", []) for n in range(200)])
    shuffled = mentions.sample(frac=1, random_state=0)
    drawn = set(mentions["mention"][draw_captions(mentions, 0.1, "tune")])
    assert drawn == set(shuffled["mention"][draw_captions(shuffled, 0.1, "tune")])
    assert len(drawn) == 20


def test_the_draw_is_the_same_in_every_version() -> None:
    mentions = table([(f"context {n}", []) for n in range(10)])
    assert np.flatnonzero(draw_captions(mentions, 0.2, "tune")).tolist() == [4, 6]


def test_tune_is_carved_from_train_alone() -> None:
    mentions = pd.concat([table([(f"t{n}", []) for n in range(50)]), table([("d", [])], "dev")], ignore_index=True)
    assert carve_tune(mentions).value_counts().to_dict() == {"train": 45, "tune": 5, "dev": 1}


def test_a_train_of_two_captions_gives_one_to_each() -> None:
    assert sorted(carve_tune(table([("a", []), ("b", []), ("b", [])]))) == ["train", "train", "tune"]


def test_a_train_of_one_caption_stays_whole() -> None:
    assert carve_tune(table([("a", []), ("a", [])])).tolist() == ["train", "train"]


def test_a_tune_of_the_release_is_kept() -> None:
    mentions = pd.concat([table([(f"t{n}", []) for n in range(30)]), table([("u", [])], "tune")], ignore_index=True)
    assert carve_tune(mentions).tolist() == mentions["split"].tolist()


def test_without_splits_eight_tenths_train_and_a_tenth_each_is_drawn() -> None:
    mentions = table([(f"context {n // 2}", []) for n in range(200)])
    assert draw_splits(mentions).value_counts().to_dict() == {"train": 160, "dev": 20, "test": 20}


def test_no_mention_is_no_error() -> None:
    empty = table([])
    assert carve_tune(empty).tolist() == []
    assert draw_splits(empty).tolist() == []


def test_two_regions_of_one_image_share_a_caption() -> None:
    images = [["1.jpg#xywh=0,0,8,8"], ["1.jpg#xywh=8,0,8,8"], ["1.jpg"], ["2.jpg#xywh=0,0,8,8"], ["1.jpg#x"]]
    table = pd.DataFrame({"context": [""] * 5, "images": images})
    assert caption_groups(table).tolist() == [0, 0, 0, 1, 2]


@given(st.lists(ROW, min_size=2, max_size=40), st.sampled_from(["photos/{}.png", "{} (1).jpg"]))
def test_the_draw_does_not_follow_what_images_are_called(rows: list[tuple[str, list[str]]], called: str) -> None:
    renamed = table([(context, [called.format(image) for image in images]) for context, images in rows])
    assert draw_splits(renamed).tolist() == draw_splits(table(rows)).tolist()


def test_mentions_that_are_regions_of_images_are_drawn_one_from_another() -> None:
    regions = table([("", [f"{n}.jpg#xywh=0,0,8,8"]) for n in range(60)]).assign(mention="")
    regions["entity_id"] = [f"Q{n % 20}" for n in range(60)]
    drawn = draw_captions(regions, 0.1, "dev")
    assert drawn.sum() == 6
    assert not drawn[:6].all()
    shuffled = regions.sample(frac=1, random_state=0)
    # Equals are drawn in their order: as many of each gold, whatever the order of the golds.
    golds = shuffled["entity_id"][draw_captions(shuffled, 0.1, "dev")]
    assert sorted(golds) == sorted(regions["entity_id"][drawn])
