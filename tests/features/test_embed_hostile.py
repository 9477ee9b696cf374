"""The real `dim embed` over a folder with every kind of file that a crawl of the web brings along."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dim.__main__ import main
from dim.data.dataset import write_dataset
from dim.features.cache import open_features

MISSING = {
    "absent.jpg": "not found",
    "bomb.png": "too large",
    "directory.jpg": "not a file",
    "empty.jpg": "empty file",
    "../secret.png": "outside the image folder",
    "link_out.png": "outside the image folder",
    "photo.heic": "unreadable",
    "pipe.jpg": "not a file",
    "truncated.jpg": "unreadable",
    "truncated.png": "unreadable",
    "drawing.svg": "unreadable",
    "zeros.jpg": "unreadable",
}


def photo() -> Image.Image:
    spots = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize((64, 48), Image.Resampling.BICUBIC)


def write_bad(root: Path) -> None:
    photo().save(root.parent / "secret.png")
    (root / "link_out.png").symlink_to(root.parent / "secret.png")
    (root / "directory.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    (root / "empty.jpg").touch()
    (root / "zeros.jpg").write_bytes(bytes(4096))
    (root / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>")
    (root / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    for form in ("jpg", "png"):
        photo().save(root / f"whole.{form}")
        data = (root / f"whole.{form}").read_bytes()
        (root / f"truncated.{form}").write_bytes(data[: len(data) // 2])
    Image.new("1", (14_000, 14_000)).save(root / "bomb.png")  # 24 KB of file, 588 MB of RGB


def write_odd(root: Path) -> list[str]:
    """Files that are unusual but images; `whole.jpg` stands beside them for comparison."""
    photo().save(root / "wrong_extension.jpg", "PNG")
    photo().save(root / "animated.gif", save_all=True, append_images=[Image.new("RGB", (64, 48))] * 3)
    photo().convert("CMYK").save(root / "cmyk.jpg")
    Image.fromarray(np.linspace(0, 65535, 64 * 48, dtype=np.uint16).reshape(48, 64)).save(root / "deep.png")
    palette = photo().convert("P")
    palette.save(root / "palette_alpha.png", transparency=bytes(range(256)))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().transpose(Image.Transpose.ROTATE_90).save(root / "turned.jpg", exif=exif)
    (root / "link_within.jpg").symlink_to("whole.jpg")
    return ["wrong_extension.jpg", "animated.gif", "cmyk.jpg", "deep.png", "palette_alpha.png", "turned.jpg",
            "link_within.jpg"]  # fmt: skip


@pytest.mark.parametrize("num_workers", ["0", "2"])
def test_each_hostile_file_is_encoded_or_counted_missing_by_the_stated_rule(
    tmp_path: Path, num_workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    write_bad(tmp_path / "images")
    usable = ["whole.jpg", *write_odd(tmp_path / "images")]
    names = [*usable, *MISSING]
    write_dataset(
        tmp_path / "dataset",
        name="hostile",
        entities=pd.DataFrame({"id": [f"e{i}" for i in range(len(names))], "name": names}),
        texts={"brief": pd.DataFrame({"entity_id": ["e0"], "text": ["a text"]})},
        mentions=pd.DataFrame({"id": names, "split": "train", "mention": "x", "images": [[name] for name in names]}),
        image_root="../images",
    )
    main(
        ["embed", str(tmp_path / "dataset"), "--image_encoder=TinyImageEncoder", f"--num_workers={num_workers}",
         f"--cache_dir={tmp_path / 'cache'}"]
    )  # fmt: skip
    features = open_features(next(tmp_path.glob("cache/features/image-*")))
    assert features is not None
    assert dict(zip(names, features.mask.tolist(), strict=True)) == {name: name in usable for name in names}
    found = features.manifest["unusable_files"]
    assert {path: why for why in found for path in found[why]["examples"]} == MISSING
    rows = dict(zip(names, features.dense(), strict=True))
    assert np.isfinite(features.matrix).all()
    assert np.array_equal(rows["whole.jpg"], rows["link_within.jpg"])
    assert rows["whole.jpg"] @ rows["wrong_extension.jpg"] > 0.98
    assert rows["whole.jpg"] @ rows["turned.jpg"] > 0.98
    assert rows["whole.jpg"] @ rows["deep.png"] < 0.9
    said = capsys.readouterr().err
    assert f"{len(usable)} of {len(names)} mention rows (missing: 1 empty file" in said
    assert json.dumps(features.manifest["missing"]).count("secret") == 0
