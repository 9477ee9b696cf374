"""Images out of HDF5 files: what they hold themselves is written, what they point to elsewhere never."""

import shutil
import signal
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from fake_fissfuse import image_bytes, write_fissfuse
from forked_commands import ended, num_events

from dim.__main__ import main
from dim.errors import ConfigError, DataError, MissingExtraError
from dim.releases import hdf5_images
from dim.releases.fissfuse import FissFuse
from dim.releases.found_images import look_up_images
from dim.releases.hdf5_images import unpack_images

RED, BLUE = image_bytes((200, 0, 0)), image_bytes((0, 0, 200), "PNG")


def as_array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "image.h5"
    with h5py.File(path, "w") as file:
        file["mention_image/1"] = as_array(RED)
        file["mention_image/2"] = np.void(BLUE)
        file.create_dataset("entity_image/Q100", data=as_array(RED), chunks=(16,), compression="gzip", shuffle=True)
    return path


def test_every_image_is_written_as_it_is_under_its_key(source: Path, tmp_path: Path) -> None:
    unpack_images(source, tmp_path / "out")
    assert written(tmp_path / "out" / "mention_image") == {"1.jpg": RED, "2.png": BLUE}
    assert written(tmp_path / "out" / "entity_image") == {"Q100.jpg": RED}


def test_a_package_has_its_images_after_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_fissfuse(tmp_path / "WikiMEL")
    with h5py.File(root / "wikimel_image.h5", "w") as file:
        for caption in range(14):
            file[f"mention_image/{caption}"] = as_array(image_bytes((caption, 0, 0)))
        file["entity_image/Q100"] = as_array(RED)
    assert main(["unpack", str(root / "wikimel_image.h5"), str(root)]) == 0
    assert "mention_image: 14 images" in capsys.readouterr().out
    release = FissFuse().read(root)
    assert look_up_images(release, None).has_image.count(False) == 0
    assert release.entities["images"].tolist()[0] == ["entity_image/Q100.jpg"]


def test_nothing_outside_the_file_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = as_array(RED)
    (tmp_path / "raw.bin").write_bytes(RED)
    with h5py.File(tmp_path / "image.h5", "w") as file:
        group = file.create_group("mention_image")
        group["external"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
        file["way"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        group["soft"] = h5py.SoftLink("/way/secret")
        group.create_dataset("stored", (len(RED),), np.uint8, external=[(str(tmp_path / "raw.bin"), 0, len(RED))])
        layout = h5py.VirtualLayout((len(RED),), np.uint8)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (len(RED),))
        group.create_virtual_dataset("virtual", layout)
        group["own"] = as_array(BLUE)
        file["entity_image"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    unpack_images(tmp_path / "image.h5", tmp_path / "out")
    assert written(tmp_path / "out" / "mention_image") == {"own.png": BLUE}
    assert not (tmp_path / "out" / "entity_image").exists()
    shown = capsys.readouterr().out
    assert "mention_image: 1 images" in shown
    assert "2 with links to another place" in shown
    assert "2 with bytes that are in another file" in shown


def test_a_filter_of_another_library_is_never_run_nor_looked_for(tmp_path: Path, source: Path) -> None:
    with h5py.File(tmp_path / "image.h5", "w") as file:
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((len(RED),))
        # 32015 is Zstandard's number; optional, so that this file can be made without it.
        created.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        group = file.create_group("mention_image")
        space = h5py.h5s.create_simple((len(RED),))
        made = h5py.h5d.create(group.id, b"packed", h5py.h5t.NATIVE_UINT8, space, created)
        made.write(space, space, as_array(RED))
        group["own"] = as_array(BLUE)
    unpack_images(tmp_path / "image.h5", tmp_path / "out")
    assert written(tmp_path / "out" / "mention_image") == {"own.png": BLUE}
    assert h5py.h5pl.size() == 0


def test_what_is_no_image_file_is_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hdf5_images, "MAX_BYTES", len(RED) + len(BLUE))
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file["mention_image/own"] = as_array(RED)
        file["mention_image/text"] = as_array(b"no image")
        file["mention_image/sound"] = as_array(b"RIFF....WAVEfmt ")
        file["mention_image/large"] = as_array(RED * 4)
        file["mention_image/floats"] = np.zeros(4)
        file["mention_image/matrix"] = np.zeros((2, 2), np.uint8)
        file["mention_image/group/inner"] = as_array(RED)
    unpack_images(tmp_path / "image.h5", tmp_path / "out")
    assert written(tmp_path / "out" / "mention_image") == {"own.jpg": RED}
    shown = capsys.readouterr().out
    assert "2 with no image file" in shown
    assert "4 with no bytes of a file of up to 64 MiB" in shown


@pytest.mark.long
def test_killed_at_any_moment_each_folder_is_whole_or_not_there(source: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    command = ["unpack", str(source), str(out)]
    count = num_events(command, log, out)
    whole = {folder.name: written(folder) for folder in out.iterdir()}
    assert set(whole) == {"mention_image", "entity_image"}
    for number in range(1, count + 1):
        shutil.rmtree(out)
        assert ended(command, log, watched=(out, number)) == -signal.SIGKILL, log.read_text()
        for name in whole:
            if (out / name).exists():
                assert written(out / name) == whole[name]
                shutil.rmtree(out / name)
        assert main(command) == 0
        assert {folder.name: written(folder) for folder in out.iterdir()} == whole  # and nothing besides


def test_a_folder_that_is_there_is_not_written_over(source: Path, tmp_path: Path) -> None:
    unpack_images(source, tmp_path / "out")
    with pytest.raises(ConfigError, match="found    a folder"):
        unpack_images(source, tmp_path / "out")


def test_a_file_without_the_groups_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["features"] = np.zeros(3)
    with pytest.raises(DataError, match="found    features"):
        unpack_images(tmp_path / "features.h5", tmp_path / "out")


def test_a_file_that_is_no_hdf5_is_named(tmp_path: Path) -> None:
    (tmp_path / "image.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xff" * 64)
    with pytest.raises(DataError, match="an HDF5 file at"):
        unpack_images(tmp_path / "image.h5", tmp_path / "out")
    with pytest.raises(DataError, match="nothing there"):
        unpack_images(tmp_path / "none.h5", tmp_path / "out")


def test_without_h5py_the_extra_is_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"dim-linker\[hdf5\]"):
        unpack_images(source, tmp_path / "out")
