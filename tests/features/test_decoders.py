"""Images are decoded in processes of their own: what ends one of them costs one image its answer."""

import io
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from waiting import HANG, wait_until

from dim.images.decoder import Asked
from dim.images.decoder_process import LOST, TOO_LONG, CostlyError, EndedError, Job
from dim.images.decoders import Decoders
from dim.images.decoding_cost import Header, NoImageError, decoding_bytes
from dim.images.reading import UnusableImageError, decode_image, load_image

LEAVES_ONE = """
import sys, os, io
from PIL import Image
from dim.images.decoders import Decoders
decoders, picture = Decoders(1, 60), io.BytesIO()
Image.new("RGB", (9, 9)).save(picture, "PNG")
decoders.decode(picture.getvalue())
print(decoders.running[0], flush=True)
os._exit(0)
"""


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with Decoders(1, HANG) as decoders:
        yield decoders


def photo(width: int = 90, height: int = 60, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height // 6, width // 6, 4), dtype=np.uint8)
    return Image.fromarray(values, "RGBA").resize((width, height)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def rotated() -> Image.Exif:
    found = Image.Exif()
    found[274] = 6
    return found


def pictures(width: int, height: int) -> dict[str, bytes]:
    """A picture of each kind that costs otherwise."""
    rgb, rgba, grey = (photo(width, height, mode) for mode in ("RGB", "RGBA", "L"))
    wide = Image.fromarray(np.asarray(grey).astype(np.float32))
    return {
        "JPEG": encoded(rgb, "JPEG", exif=rotated()),
        "progressive JPEG": encoded(rgb, "JPEG", progressive=True, subsampling=0, exif=rotated()),
        "CMYK JPEG": encoded(rgb.convert("CMYK"), "JPEG"),
        "MPO": encoded(rgb, "MPO", save_all=True, append_images=[rgb]),
        "PNG": encoded(rgba, "PNG", exif=rotated()),
        "PNG of 16 bits": encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 256), "PNG"),
        "palette": encoded(rgb.quantize(64), "PNG", transparency=3),
        "GIF": encoded(rgb.quantize(64), "GIF", transparency=3),
        "WebP": encoded(rgb, "WEBP", exif=rotated()),
        "animated WebP": encoded(rgba, "WEBP", save_all=True, append_images=[rgba.rotate(180)], exif=rotated()),
        "BMP": encoded(rgb, "BMP"),
        "TIFF": encoded(rgba, "TIFF", compression="tiff_lzw", exif=rotated()),
        "TIFF of floats": encoded(wide, "TIFF", exif=rotated()),
        "PPM": encoded(rgb, "PPM"),
        "JPEG 2000": encoded(rgba, "JPEG2000"),
        "AVIF": encoded(rgba, "AVIF", speed=10, exif=rotated()),
    }


def test_every_image_is_what_this_process_would_make_of_it_in_the_memory_that_its_header_tells(
    decoders: Decoders,
) -> None:
    for kind, data in pictures(240, 180).items():
        for draft_side in (None, 64):
            found, expected = decoders.decode(data, draft_side), decode_image(data, draft_side)
            assert (found.mode, found.size) == ("RGB", expected.size), kind
            assert found.tobytes() == expected.tobytes(), kind
    assert len(decoders.running) == 1


def test_a_file_or_a_region_of_it_is_read_within_its_folder(decoders: Decoders, tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    photo().save(root / "a.png")
    photo().save(tmp_path / "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    asked = Asked(root=str(root), side=30)
    for path in (root / "a.png", Path(f"{root / 'a.png'}#xywh=10,5,30,40")):
        assert decoders.opened(path, asked).tobytes() == load_image(path, root, 30).tobytes()
    with Image.open(io.BytesIO(decoders.jpeg(root / "a.png", asked))) as shown:
        assert (shown.format, shown.size) == ("JPEG", (30, 20))
    with pytest.raises(UnusableImageError, match="outside the image folder"):
        decoders.jpeg(root / "link.png", asked)
    with pytest.raises(UnusableImageError, match="not found"):
        decoders.decode("nu\0ll.png")


def test_what_takes_more_than_it_may_is_not_decoded(decoders: Decoders) -> None:
    picture = encoded(photo(300, 200), "PNG")
    header = Header("PNG", "RGB", 300, 200)
    cost = decoding_bytes(header, len(picture))
    for asked in (Asked(pixels=59_999), Asked(memory=cost - 1)):
        with pytest.raises(CostlyError) as caught:
            decoders.opened(picture, asked)
        assert (caught.value.header, caught.value.cost) == (header, cost)
    assert decoders.opened(picture, Asked(pixels=60_000, memory=cost)).size == (300, 200)


def test_reasons_come_from_there_and_the_process_goes_on(decoders: Decoders) -> None:
    half = encoded(photo(), "PNG")[:-90]
    icon, memory = encoded(Image.new("1", (6000, 6000)), "PNG"), decoding_bytes(Header("ICO", "RGBA", 16, 16), 0)
    assert memory < 4 * 6000 * 6000
    larger = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(icon), 22) + icon  # it says: 16 × 16
    for data, reason in ((b"", "empty file"), (b"nothing", "unreadable"), (half, "unreadable"), (larger, "too large")):
        with pytest.raises(UnusableImageError) as caught:
            decoders.decode(data)
        assert caught.value.reason == reason
        assert isinstance(caught.value, NoImageError) == (data in (b"", b"nothing"))
    (pid,) = decoders.running
    assert decoders.decode(encoded(photo(), "PNG")).size == (90, 60)
    assert decoders.running == [pid]


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGKILL, LOST), (signal.SIGSEGV, LOST), (signal.SIGALRM, TOO_LONG)]
)
def test_what_ends_a_decoder_is_one_images_error_and_the_next_gets_another(number: int, reason: str) -> None:
    picture = encoded(photo(), "JPEG")
    with Decoders(1, HANG) as decoders, ThreadPoolExecutor(4) as pool:
        decoders.decode(picture)
        (pid,) = decoders.running
        os.kill(pid, signal.SIGSTOP)  # it works at the next image until it is killed
        first = pool.submit(decoders.decode, picture)
        wait_until(lambda: decoders.num_free == 0)
        others = [pool.submit(decoders.decode, picture) for _ in range(3)]
        os.kill(pid, number)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        with pytest.raises(UnusableImageError) as caught:
            first.result()
        assert caught.value.reason == reason
        assert {other.result().size for other in others} == {(90, 60)}
        assert decoders.running != [pid]


def test_a_job_is_ended_wherever_it_is_and_no_other_with_it() -> None:
    picture = encoded(photo(), "JPEG")
    with Decoders(1, HANG) as decoders, ThreadPoolExecutor(2) as pool:
        decoders.decode(picture)
        (pid,) = decoders.running
        os.kill(pid, signal.SIGSTOP)
        job, later = Job(), Job()
        given = pool.submit(decoders.opened, picture, Asked(), job)
        wait_until(lambda: decoders.num_free == 0)
        waiting = pool.submit(decoders.opened, picture, Asked(), later)
        later.end()
        job.end()
        with pytest.raises(UnusableImageError, match=LOST):
            given.result()
        with pytest.raises(EndedError):
            waiting.result()
        job.end()  # long over
        assert decoders.decode(picture).size == (90, 60)


def test_a_decoder_knows_neither_torch_nor_ctrl_c(decoders: Decoders) -> None:
    decoders.decode(encoded(photo(), "JPEG"))
    (pid,) = decoders.running
    assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    decoders.decode(encoded(photo(), "JPEG"))
    assert decoders.running == [pid]


def test_no_decoder_outlives_who_asks_it() -> None:
    with Decoders(1, HANG) as decoders:
        decoders.decode(encoded(photo(), "JPEG"))
        (pid,) = decoders.running
    assert not Path(f"/proc/{pid}").exists()
    said = subprocess.run([sys.executable, "-c", LEAVES_ONE], capture_output=True, text=True, check=True).stdout
    wait_until(lambda: not Path(f"/proc/{int(said)}").exists() or _is_dead(int(said)))


def _is_dead(pid: int) -> bool:
    """Whether it has ended, and only its parent does not know yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
