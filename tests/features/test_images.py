import io
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from dim.images import reading as images
from dim.images.given import open_image
from dim.images.reading import UnusableImageError, load_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def reason(root: Path, name: str) -> str:
    with pytest.raises(UnusableImageError) as caught:
        load_image(root / name, root)
    return caught.value.reason


def photo(size: tuple[int, int] = (32, 16)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_what_is_no_usable_file_has_its_reason(root: Path) -> None:
    (root / "x.jpg").mkdir()
    os.mkfifo(root / "pipe.jpg")
    (root / "empty.jpg").touch()
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert reason(root, "absent.jpg") == "not found"
    assert reason(root, "nu\0ll.jpg") == "not found"
    assert reason(root, "x" * 300) == "not found"
    assert reason(root, "a") == "not found"
    assert reason(root, "x.jpg") == "not a file"
    assert reason(root, "pipe.jpg") == "not a file"
    assert reason(root, "empty.jpg") == "empty file"


def test_no_path_leads_out_of_the_image_folder(root: Path) -> None:
    photo().save(root.parent / "secret.png")
    (root / "link.png").symlink_to(root.parent / "secret.png")
    (root / "folder").symlink_to(root.parent)
    assert reason(root, "link.png") == "outside the image folder"
    assert reason(root, "../secret.png") == "outside the image folder"
    assert reason(root, "folder/secret.png") == "outside the image folder"
    assert reason(root, str(root.parent / "secret.png")) == "outside the image folder"


def test_links_within_the_folder_and_a_folder_that_is_a_link_are_fine(root: Path) -> None:
    photo().save(root / "one.png")
    (root / "two.png").symlink_to("one.png")
    (root.parent / "alias").symlink_to(root)
    assert load_image(root.parent / "alias/two.png", root.parent / "alias").size == (32, 16)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_counted(root: Path) -> None:
    photo().save(root / "x.png")
    (root / "x.png").chmod(0)
    assert reason(root, "x.png") == "no permission"


@pytest.mark.parametrize("cut", [10, 100, 400])
def test_truncated_files_are_unreadable(root: Path, cut: int) -> None:
    (root / "x.jpg").write_bytes(jpeg(photo((64, 64)))[:cut])
    buffer = io.BytesIO()
    photo((64, 64)).save(buffer, "PNG")
    (root / "x.png").write_bytes(buffer.getvalue()[:cut])
    assert reason(root, "x.jpg") == "unreadable"
    assert reason(root, "x.png") == "unreadable"


def test_truncated_files_are_unreadable_whatever_a_program_has_told_pillow(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = jpeg(photo((64, 64)))
    (root / "half.jpg").write_bytes(data[: len(data) // 2])
    (root / "x.jpg").write_bytes(data)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with ThreadPoolExecutor(4) as pool:
        names = ["half.jpg", "x.jpg"] * 20
        found = list(pool.map(lambda name: is_usable(root / name), names))
    assert found == [name == "x.jpg" for name in names]
    with Image.open(root / "half.jpg") as half, pytest.raises(UnusableImageError, match="unreadable"):
        open_image(half)
    assert ImageFile.LOAD_TRUNCATED_IMAGES  # the program's own files are read as it wants


def is_usable(file: Path) -> bool:
    try:
        load_image(file, file.parent)
    except UnusableImageError:
        return False
    return True


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\0\0\0\x18ftypheic",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
)
def test_formats_that_are_not_listed_are_unreadable(root: Path, data: bytes) -> None:
    (root / "x.jpg").write_bytes(data)
    assert reason(root, "x.jpg") == "unreadable"


def test_garbled_bytes_never_raise_anything_else(root: Path) -> None:
    random = np.random.default_rng(0)
    originals = [jpeg(photo((64, 64)))]
    for form in ("PNG", "GIF", "WEBP", "TIFF", "BMP"):
        buffer = io.BytesIO()
        photo((64, 64)).save(buffer, form)
        originals.append(buffer.getvalue())
    for original in originals:
        for _ in range(40):
            data = bytearray(original)
            for position in random.integers(0, len(data), 8):
                data[position] = random.integers(0, 256)
            (root / "x").write_bytes(data)
            with suppress(UnusableImageError):
                assert load_image(root / "x", root).mode == "RGB"


def test_gigantic_images_are_refused_before_they_are_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (14_000, 14_000)).save(root / "bomb.png")
    assert reason(root, "bomb.png") == "too large"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # a program may have switched Pillow's own check off
    assert reason(root, "bomb.png") == "too large"
    monkeypatch.setattr(images, "MAX_BYTES", 10)
    assert reason(root, "bomb.png") == "too large"


def test_images_that_a_resize_would_blow_up_are_refused(root: Path) -> None:
    Image.new("RGB", (1, 101)).save(root / "x.png")
    Image.new("RGB", (1, 100)).save(root / "y.png")
    assert reason(root, "x.png") == "too narrow"
    assert load_image(root / "y.png", root).size == (1, 100)


def test_the_extension_says_nothing(root: Path) -> None:
    photo().save(root / "x.jpg", "PNG")
    assert np.array_equal(np.asarray(load_image(root / "x.jpg", root)), np.asarray(photo()))


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(root: Path, form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(root / "x", form, save_all=True, append_images=frames[1:])
    assert load_image(root / "x", root).getpixel((4, 4)) == (255, 0, 0)


def test_exif_rotation_is_applied(root: Path) -> None:
    image = Image.new("RGB", (32, 16), "white")
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "x.jpg").write_bytes(jpeg(image, exif=exif))
    assert load_image(root / "x.jpg", root).size == (16, 32)


def test_garbled_exif_leaves_the_image_as_it_is(root: Path) -> None:
    (root / "x.jpg").write_bytes(jpeg(photo(), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"))
    assert load_image(root / "x.jpg", root).size == (32, 16)


def test_transparency_is_laid_on_white(root: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.save(root / "rgba.png")
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 255, 0] * 256)
    palette.save(root / "palette.png", transparency=0)
    Image.new("LA", (4, 4), (0, 0)).save(root / "la.png")
    for name in ("rgba.png", "palette.png", "la.png"):
        assert load_image(root / name, root).getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_becomes_rgb(root: Path) -> None:
    (root / "x.jpg").write_bytes(jpeg(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), quality=95))
    assert min(load_image(root / "x.jpg", root).getpixel((8, 8))) > 250


def test_deep_grey_is_scaled(root: Path) -> None:
    Image.fromarray(np.array([[0, 32896, 65535]], dtype=np.uint16)).save(root / "x.png")
    Image.fromarray(np.array([[-5.0, 0.0, 5.0]], dtype=np.float32)).save(root / "x.tiff")
    Image.fromarray(np.array([[0, np.nan]], dtype=np.float32)).save(root / "nan.tiff")
    for name in ("x.png", "x.tiff"):
        assert np.asarray(load_image(root / name, root))[0, :, 0].tolist() == [0, 128, 255]
    assert reason(root, "nan.tiff") == "unreadable"


@pytest.mark.parametrize("order", ["<", ">"])
def test_deep_grey_is_scaled_in_either_order_of_its_bytes(root: Path, order: str) -> None:
    values = np.array([[257, 32896, 514]], dtype=f"{order}u2")
    image = Image.frombytes("I;16B" if order == ">" else "I;16", (3, 1), values.tobytes())
    image.save(root / "x.tiff")
    with Image.open(root / "x.tiff") as opened:
        assert opened.mode == image.mode
    (root / "x.pgm").write_bytes(b"P5 3 1 65535\n" + values.astype(">u2").tobytes())
    for name in ("x.tiff", "x.pgm"):
        assert np.asarray(load_image(root / name, root))[0, :, 0].tolist() == [1, 128, 2]
        with Image.open(root / name) as opened:
            assert np.asarray(open_image(opened))[0, :, 0].tolist() == [1, 128, 2]


def test_an_opened_image_is_read_as_its_file_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "turned.jpg").write_bytes(jpeg(photo(), exif=exif))
    Image.new("LA", (4, 4), (0, 0)).save(root / "clear.png")
    Image.fromarray(np.array([[0, 32896, 65535]], dtype=np.uint16)).save(root / "deep.png")
    for name in ("turned.jpg", "clear.png", "deep.png"):
        with Image.open(root / name) as image:
            assert np.array_equal(np.asarray(open_image(image)), np.asarray(load_image(root / name, root)))
    monkeypatch.setattr(images, "MAX_PIXELS", 32 * 16 - 1)
    with pytest.raises(UnusableImageError, match="too large"):
        open_image(photo())


def test_a_failing_disk_is_no_missing_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo().save(root / "x.png")

    def fail(path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output error"):
        load_image(root / "x.png", root)


def test_a_region_is_cut_out_of_the_image(root: Path) -> None:
    photo((32, 16)).save(root / "x.png")
    pixels = np.asarray(photo((32, 16)))
    region = np.asarray(load_image(root / "x.png#xywh=4,2,10,5", root))
    assert np.array_equal(region, pixels[2:7, 4:14])
    touched = np.asarray(load_image(root / "x.png#xywh=4.9,2.1,1.2,0.5", root))
    assert np.array_equal(touched, pixels[2:3, 4:7])


def test_what_sticks_out_of_the_image_is_cut_off(root: Path) -> None:
    photo((32, 16)).save(root / "x.png")
    pixels = np.asarray(photo((32, 16)))
    assert np.array_equal(np.asarray(load_image(root / "x.png#xywh=-4.5,-9,10,999", root)), pixels[:, :6])
    assert np.array_equal(np.asarray(load_image(root / "x.png#xywh=31,15,7,7", root)), pixels[15:, 31:])


@pytest.mark.parametrize("box", ["5,5,0,4", "5,5,4,0", "5,5,-1,4", "32,0,5,5", "0,16,5,5", "-9,0,9,9", "0,-9,9,9"])
def test_a_region_without_pixels_is_missing(root: Path, box: str) -> None:
    photo((32, 16)).save(root / "x.png")
    assert reason(root, f"x.png#xywh={box}") == "empty region"


def test_the_other_rules_hold_for_regions_too(root: Path) -> None:
    photo((202, 101)).save(root / "x.png")
    photo().save(root.parent / "secret.png")
    assert reason(root, "x.png#xywh=3,0,1,101") == "too narrow"
    assert load_image(root / "x.png#xywh=3,0,1,100", root).size == (1, 100)
    assert reason(root, "absent.png#xywh=0,0,1,1") == "not found"
    assert reason(root, "../secret.png#xywh=0,0,1,1") == "outside the image folder"


def test_a_region_is_measured_on_the_upright_image(root: Path) -> None:
    image = Image.new("RGB", (32, 16), "white")
    image.paste("black", (0, 0, 16, 16))  # turned by 90 degrees, the left half is the upper one
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "x.jpg").write_bytes(jpeg(image, exif=exif))
    assert load_image(root / "x.jpg#xywh=0,20,16,8", root).getpixel((8, 4)) == (255, 255, 255)
    assert load_image(root / "x.jpg#xywh=0,4,16,8", root).getpixel((8, 4)) == (0, 0, 0)


def test_a_file_name_with_a_hash_sign_is_no_region(root: Path) -> None:
    photo().save(root / "song #1.png")
    assert load_image(root / "song #1.png", root).size == (32, 16)


def large_jpeg(root: Path, size: tuple[int, int]) -> None:
    photo((size[0] // 8, size[1] // 8)).resize(size, Image.Resampling.BICUBIC).save(root / "x.jpg", quality=95)


@pytest.mark.parametrize(
    ("draft_side", "expected"),
    [(None, (800, 400)), (300, (800, 400)), (200, (400, 200)), (70, (200, 100)), (1, (100, 50))],
)
def test_a_draft_keeps_the_short_side_and_the_picture(
    root: Path, draft_side: int | None, expected: tuple[int, int]
) -> None:
    large_jpeg(root, (800, 400))
    draft, full = load_image(root / "x.jpg", root, draft_side), load_image(root / "x.jpg", root)
    assert draft.size == expected
    small = [np.asarray(image.resize((20, 10), Image.Resampling.BOX), dtype=float) for image in (draft, full)]
    assert np.abs(small[0] - small[1]).max() < 6


def test_a_draft_changes_nothing_but_whole_jpegs(root: Path) -> None:
    large_jpeg(root, (800, 400))
    photo((800, 400)).save(root / "y.png")
    assert load_image(root / "y.png", root, 50).size == (800, 400)
    assert load_image(root / "x.jpg#xywh=10,20,300,200", root, 50).size == (300, 200)


def test_a_draft_is_turned_upright_and_its_truncation_is_seen(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = jpeg(photo((800, 400)), exif=exif)
    (root / "x.jpg").write_bytes(data)
    assert load_image(root / "x.jpg", root, 50).size == (50, 100)
    (root / "x.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnusableImageError, match="unreadable"):
        load_image(root / "x.jpg", root, 50)
