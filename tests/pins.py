"""Pins what a run or a linker answers, to tell after a change whether the answers are still the same:

python tests/pins.py write runs/demo_plus demo/world before.json
python tests/pins.py write runs/demo_plus demo/world after.json      # with the change
python tests/pins.py compare before.json after.json
"""

import argparse
import json
from pathlib import Path

from dim import Dataset, Linker

#: Of each mention its answers, best first: id, score, probability (None where there is none).
Pins = list[list[tuple[str, float, float | None]]]


def pinned(source: Path, world: Path, count: int = 200, k: int = 5) -> Pins:
    """The answers to the first mentions of a dataset's dev split.

    Args:
        source: A run, or the folder of a linker.
        world: The dataset.
        count: Mentions.
        k: Answers to a mention.
    """
    is_run = (source / "config.yaml").is_file()
    linker = (Linker.from_checkpoint if is_run else Linker.from_pretrained)(source, device="cpu")
    dataset = Dataset(world)
    rows = dataset.mentions[dataset.mentions["split"] == "dev"].head(count)
    questions = [
        {
            "mention": row.mention,
            "context": row.context or "",
            "image": str(dataset.image_root / row.images[0]) if len(row.images) else None,
        }
        for row in rows.itertuples()
    ]
    return [[(one.id, one.score, one.probability) for one in answers] for answers in linker.link_batch(questions, k)]


def differences(before: Pins, after: Pins) -> dict[str, float]:
    """How many lists have other ids or another order, and the greatest differences in numbers at the same places.

    A probability that only one side has differs by infinity.

    Raises:
        ValueError: They are of different numbers of mentions.

    Example:
        >>> differences([[("Q1", 0.5, None)]], [[("Q1", 0.25, None)]])
        {'lists': 1, 'lists_that_differ': 0, 'scores': 0.25, 'probabilities': 0.0}
    """
    if len(before) != len(after):
        raise ValueError(f"pins of as many mentions, found {len(before)} and {len(after)}")
    lists = list(zip(before, after, strict=True))
    pairs = [pair for one, other in lists for pair in zip(one, other, strict=False)]
    return {
        "lists": len(lists),
        "lists_that_differ": sum([a[0] for a in one] != [b[0] for b in other] for one, other in lists),
        "scores": max((_apart(a[1], b[1]) for a, b in pairs), default=0.0),
        "probabilities": max((_apart(a[2], b[2]) for a, b in pairs), default=0.0),
    }


def _apart(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="write the answers of a run or a linker as JSON")
    write.add_argument("source", type=Path, help="a run, or the folder of a linker")
    write.add_argument("world", type=Path, help="the dataset whose dev mentions are asked")
    write.add_argument("out", type=Path, help="the JSON file")
    write.add_argument("--count", type=int, default=200, help="mentions (200)")
    write.add_argument("--k", type=int, default=5, help="answers to a mention (5)")
    compare = commands.add_parser("compare", help="tell how many lists differ, and scores by how much at most")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "write":
        pins = pinned(chosen.source, chosen.world, chosen.count, chosen.k)
        chosen.out.write_text(json.dumps(pins), encoding="utf-8")
    else:
        before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (chosen.before, chosen.after))
        print(json.dumps(differences(before, after)))


if __name__ == "__main__":
    main()
