"""Images are decoded in processes of their own: what ends one of them costs one image its answer."""

import io
import os
import signal
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

from dim.features.decoders import LOST, TOO_LONG, Decoders, EndedError, Job
from dim.features.decoding_cost import decoding_bytes, read_header
from dim.features.images import UnusableImageError, decode_image, load_image

LEAVES_ONE = """
import sys, os, io
from PIL import Image
from dim.features.decoders import Decoders
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


def test_every_image_is_what_this_process_would_make_of_it_and_takes_no_more_memory_than_it_is_given(
    decoders: Decoders,
) -> None:
    for kind, data in pictures(240, 180).items():
        header = read_header(io.BytesIO(data))
        assert decoders.header(data) == header, kind
        for draft_side in (None, 64):
            found = decoders.decode(data, draft_side, memory=decoding_bytes(header, len(data), draft_side))
            expected = decode_image(data, draft_side)
            assert (found.mode, found.size) == ("RGB", expected.size), kind
            assert found.tobytes() == expected.tobytes(), kind
    assert len(decoders.running) == 1


def test_a_file_or_a_region_of_it_is_read_within_its_folder(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    whole = tmp_path / "images" / "a.png"
    photo().save(whole)
    photo().save(tmp_path / "secret.png")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    region = Path(f"{whole}#xywh=10,5,30,40")
    for path in (whole, region):
        found = decoders.decode(path, root=tmp_path / "images")
        assert found.tobytes() == load_image(path, tmp_path / "images").tobytes()
        assert decoders.header(path, tmp_path / "images").pixels == 90 * 60
    with Image.open(io.BytesIO(decoders.show(whole, tmp_path / "images", 30))) as shown:
        assert (shown.format, shown.size) == ("JPEG", (30, 20))
    with pytest.raises(UnusableImageError, match="outside the image folder"):
        decoders.show(tmp_path / "images" / "link.png", tmp_path / "images", 30)
    with pytest.raises(UnusableImageError, match="not found"):
        decoders.decode("nu\0ll.png")


def test_reasons_come_from_there_and_the_process_goes_on(decoders: Decoders) -> None:
    for data, reason in (
        (b"", "empty file"),
        (b"nothing", "unreadable"),
        (encoded(photo(), "PNG")[:-90], "unreadable"),
    ):
        with pytest.raises(UnusableImageError, match=reason):
            decoders.decode(data)
    large = encoded(photo(1500, 1500), "PNG")
    with pytest.raises(UnusableImageError, match="too large"):
        decoders.decode(large, memory=1_000_000)
    (pid,) = decoders.running
    assert decoders.decode(large, memory=100_000_000).size == (1500, 1500)
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
        given = pool.submit(decoders.decode, picture, job=job)
        wait_until(lambda: decoders.num_free == 0)
        waiting = pool.submit(decoders.decode, picture, job=later)
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
