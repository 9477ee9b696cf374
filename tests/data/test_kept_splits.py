import pandas as pd

from dim.data.splits import caption_groups
from dim.releases.kept_splits import keep_splits


def drawn(rows: list[tuple[str, str, str, str]], prefix: str = "mention") -> pd.DataFrame:
    """Mentions of (mention, context, image, split)."""
    return pd.DataFrame(
        {
            "id": [f"{prefix}-{number:06d}" for number in range(len(rows))],
            "split": [split for *_, split in rows],
            "mention": [name for name, *_ in rows],
            "context": [context for _, context, *_ in rows],
            "entity_id": [f"Q{name}" for name, *_ in rows],
            "images": [[image] if image else [] for _, _, image, _ in rows],
        }
    )


BEFORE = [("A", "a", "1", "test"), ("B", "b", "2", "train"), ("C", "c", "3", "dev"), ("D", "", "4", "tune")]


def kept(rows: list[tuple[str, str, str, str]], prefix: str = "mention") -> tuple[list[str], list[str]]:
    mentions = drawn(rows, prefix)
    split, notes = keep_splits(mentions, drawn(BEFORE, prefix), "before")
    assert (
        not pd.DataFrame({"split": split, "caption": caption_groups(mentions)})
        .groupby("caption")["split"]
        .nunique()
        .gt(1)
        .any()
    )
    return split.tolist(), notes


def test_mentions_keep_their_splits_whatever_was_repaired_and_wherever_they_stand() -> None:
    rows = [
        ("D", "", "4", "train"),
        ("C", "c, put right", "3", "train"),
        ("B", "b", "b/2", "test"),
        ("A", "a", "", "train"),
    ]
    split, notes = kept(rows)
    assert split == ["tune", "dev", "train", "test"]
    assert "the splits that were drawn are those of before: 4 mentions found again, 0 new ones drawn" in notes[0]


def test_a_new_mention_goes_with_its_caption_or_is_drawn() -> None:
    rows = [*BEFORE, ("E", "a", "", "train"), ("F", "f", "3", "train"), ("G", "g", "9", "dev")]
    assert kept(rows)[0] == ["test", "train", "dev", "tune", "test", "dev", "dev"]


def test_captions_that_a_repair_joins_go_together_and_it_is_said() -> None:
    split, notes = kept([("A", "a", "1", "train"), ("B", "b", "1", "train"), *BEFORE[2:]])
    assert split == ["test", "test", "dev", "tune"]
    assert notes[1] == (
        "captions that stood in two splits share an image or a sentence now: 1 mentions moved, first mention-000001 "
        "to test"
    )


def test_what_is_drawn_as_before_needs_no_note() -> None:
    assert kept(BEFORE) == (["test", "train", "dev", "tune"], [])


def test_splits_of_the_release_are_its_own() -> None:
    mentions, before = drawn([("A", "a", "", "train")], "train"), drawn([("A", "a", "", "test")], "test")
    assert keep_splits(mentions, before, "x")[0].tolist() == ["train"]
    # Here `tune` was carved before, and now the release has one.
    carved = drawn([("A", "a", "", "tune"), ("B", "b", "", "train")], "train")
    now = pd.concat([drawn([("A", "a", "", "train")], "train"), drawn([("U", "u", "", "tune")], "tune")])
    assert keep_splits(now, carved, "x")[0].tolist() == ["train", "tune"]
