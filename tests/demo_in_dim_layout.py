"""A demo world as DIM's authors would publish it: their files, prefixes and marks; and the same as a dataset folder."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

from releases import write_json

from dim.data.dataset import Dataset, write_dataset
from dim.data.splits import carve_tune


def write_in_dim_layout(world: Dataset, root: Path) -> Path:
    """Ids as keys, images as `KVQAimgs/<id>.png` in a folder of that name, texts as `Name [SEP]. text`."""
    root.mkdir(parents=True)
    (root / "KVQAimgs").mkdir()
    named = dict(zip(world.entities["id"], world.entities["name"], strict=True))
    for split, of in {"train": ("train", "tune"), "dev": ("dev",), "test": ("test",)}.items():
        rows = {}
        for row in world.mentions[world.mentions["split"].isin(of)].itertuples():
            image = f"KVQAimgs/{row.id}.png" if len(row.images) else ""
            if image:
                copyfile(world.image_root / row.images[0], root / image)
            answer = row.entity_id if isinstance(row.entity_id, str) else "nil"
            rows[row.id] = {
                "id": row.id,
                "sentence": row.context,
                "imgPath": image,
                "mentions": row.mention,
                "entities": named.get(answer),
                "answer": answer,
            }
        write_json(root / f"{split}.json", rows)
    write_json(root / "qid2ne.json", named)
    write_json(root / "qids_ordered.json", list(named))
    texts = world.texts("refreshed")
    write_json(root / "brief.json", {i: f"{named[i]} [SEP]. {text}" for i, text in texts.items()})
    return root


def write_as_folder(world: Dataset, root: Path) -> Dataset:
    """What that layout can hold of the world, as a dataset folder: its tune is carved as that of every release."""
    mentions = world.mentions.assign(split=world.mentions["split"].replace("tune", "train"))
    mentions["split"] = carve_tune(mentions)
    order = mentions["split"].map({"train": 0, "tune": 0, "dev": 1, "test": 2}).sort_values(kind="stable").index
    entities = world.entities[["id", "name"]]
    return write_dataset(
        root,
        name="folder",
        entities=entities,
        texts={"brief": world.text_table("refreshed")},
        mentions=mentions.loc[order],
        image_root=str(world.image_root.resolve()),
    )
