"""KGMEL's layout, small: captions with parallel lists, splits by caption id, a KB folder with labels and triples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from releases import PEOPLE, qid, write_image, write_json

BLANK = 5  #: The caption whose image file is the placeholder.


def caption(number: int) -> dict[str, Any]:
    """Caption `number` with two mentions; Wikipedia titles name the golds."""
    first, second = PEOPLE[2 * number % 8], PEOPLE[(2 * number + 1) % 8]
    return {
        "id": number,
        "sentence": f"{first.split()[1]} met {second.split()[1]} at meeting {number}",
        "imgPath": f"mention_{number}.jpg",
        "mention": [first.split()[1], second.split()[1]],
        "entity": [f"{first} (scientist)", f"{second} (scientist)"],
        "answer": [qid(2 * number), qid(2 * number + 1)],
        "img-url": f"https://example.org/{number}.jpg",
    }


def write_kgmel(root: Path, kb: bool = True) -> Path:
    """14 captions, of which number 9 is train and val; `Q200` is a distractor; `Q107` has no description, no triple."""
    data = root / "data" / "dataset"
    (data / "mapping").mkdir(parents=True)
    write_json(data / "WikiDiverse.json", [caption(number) for number in range(14)])
    splits = {"train": list(range(10)), "val": [9, 10, 11], "test": [12, 13]}
    write_json(data / "mapping" / "ids_split_mappings.json", {"WikiDiverse": splits})
    write_json(data / "mapping" / "ids_blank_image.json", {"WikiDiverse": [BLANK]})
    for number in range(14):
        write_image(data / "image" / "WikiDiverse" / f"mention_{number}.jpg")
    if kb:
        write_kb(root / "data" / "KB")
        write_json(data / "mapping" / "qids_candidate.json", {"WikiDiverse": [*map(qid, range(8)), "Q200"]})
    return root


def write_kb(folder: Path) -> None:
    """Labels, triples and one image."""
    folder.mkdir(parents=True)
    labels = [f"{qid(number)}\t{name}\tscientist {number}" for number, name in enumerate(PEOPLE[:7])]
    labels += [f"{qid(7)}\t{PEOPLE[7]}\t", "Q200\tAda\tprogramming language", 'Q5\thuman\t"any ""real"" human being"']
    (folder / "QID2Label.tsv").write_text("\n".join(labels) + "\n", encoding="utf-8")
    (folder / "PID2Label.tsv").write_text("P31\tinstance of\tclass\nP106\toccupation\twork\n", encoding="utf-8")
    triples = [*(f"{qid(number)}\tP31\tQ5" for number in range(7)), "Q100\tP106\tQ200", "Q999\tP31\tQ5", "broken line"]
    (folder / "Triples-WikiDiverse.tsv").write_text("\n".join(triples) + "\n", encoding="utf-8")
    write_image(folder / "image" / "Q100_0.jpg")
