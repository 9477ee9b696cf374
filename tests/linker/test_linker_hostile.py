"""Questions that no one should ask each have a clear answer or a clear error."""

import dataclasses
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from demo_run import demo_run, linker_of, questions_of
from PIL import Image

from dim.encoders.base import Features
from dim.encoders.tiny import TinyTextEncoder
from dim.errors import DataError
from dim.features.live import LiveEncoder
from dim.linker import Linker, Question


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_run(tmp_path_factory)


@pytest.fixture(scope="module")
def linker(run: Path) -> Linker:
    return linker_of(run)


@pytest.mark.parametrize("mention", ["", " ", "\t\n\u3000"])
def test_nothing_asked_is_an_error_and_with_an_image_a_question(run: Path, linker: Linker, mention: str) -> None:
    with pytest.raises(DataError, match="a mention, or an image\nfound    neither"):
        linker.link(mention, "Somebody smiled.")
    image = next(question.image for question in questions_of(run) if question.image)
    assert len(linker.link(mention, image=image)) == 5


@pytest.mark.parametrize(
    "text",
    [
        "\U00010fff\ue000\ufffd",  # unassigned, private use, replacement
        "👩‍👩‍👧‍👦",
        "🙂🙂🙂",
        "a\x00b\x07\x1b[31m\x7f",
        "محمد بن سلمان",
        "\u202eVelton\u202c שלום",
        "e\u0301" * 300,
        "?!…—",
        "[/red] [bold]{mention}{0}",
        "%s ../../etc/passwd <script>",
    ],
)
def test_any_characters_are_answered(linker: Linker, text: str) -> None:
    for answers in linker.link_batch([Question(text), Question(text, text), Question("Velton", text)], top_k=3):
        assert len(answers) == 3
        assert all(np.isfinite(answer.score) for answer in answers)


def test_half_a_character_is_refused(linker: Linker) -> None:
    with pytest.raises(DataError, match=r"whole characters in the mention\nfound    half of one, U\+D83D, at place 4"):
        linker.link("Ada \ud83d")
    with pytest.raises(DataError, match="whole characters in the context"):
        linker.link("Ada", "\udc80")


@pytest.mark.parametrize(("mention", "context"), [([], ""), (True, ""), ("Ada", {}), (b"Ada", "")])
def test_what_is_no_text_is_refused(linker: Linker, mention: object, context: object) -> None:
    with pytest.raises(DataError, match="expected text as"):
        linker.link(mention, context)  # type: ignore[arg-type]


def test_of_a_megabyte_of_text_the_part_around_the_mention_counts(linker: Linker) -> None:
    entity = next(entity for entity in linker.knowledge if entity.text)
    noise = "lorem ipsum dolor sit amet " * 20_000  # 540 KB
    said = f"{entity.name} {entity.text}"
    answers = {a.id: a for a in linker.link(entity.name, f"{noise}{said} {noise}", top_k=100)}
    alone = {a.id: a for a in linker.link(entity.name, f"{noise} {noise}", top_k=100)}
    assert answers[entity.id].evidence["vectors"] > alone[entity.id].evidence["vectors"]
    # What stands far from the mention does not count.
    near = noise[-499:] + said + " " + noise[:18_000]
    other = linker.link(entity.name, f"{'first ' * 90_000} {near}", top_k=5)
    again = linker.link(entity.name, f"{'second ' * 90_000} {near}", top_k=5)
    assert [a.id for a in other] == [a.id for a in again]
    assert [a.score for a in other] == pytest.approx([a.score for a in again], abs=1e-5)


class Recorder(TinyTextEncoder):
    """Keeps what it was asked to encode."""

    def encode_text(self, texts: Sequence[str]) -> Features:
        self.seen = [*getattr(self, "seen", []), *texts]
        return super().encode_text(texts)


def test_the_mention_stands_early_in_what_is_encoded_of_a_long_text(run: Path) -> None:
    linker, recorder = linker_of(run), Recorder(256)
    linker.towers.live = LiveEncoder(dataclasses.replace(linker.towers.live.choices, text_encoder=recorder))
    linker.link("Velton", "word " * 200_000 + "Velton" + " word" * 200_000)
    context = max(recorder.seen, key=len)
    assert len(context) < 21_000
    assert 400 < context.rindex("Velton") < 1_000


def test_a_megabyte_of_mention_is_refused_at_once(linker: Linker) -> None:
    with pytest.raises(DataError, match="a mention of at most 1,000 characters\nfound    1,000,000"):
        linker.link("x" * 1_000_000)
    assert len(linker.link("x" * 1_000)) == 5


def test_images_that_cannot_be_used_are_named(run: Path, linker: Linker, tmp_path: Path) -> None:
    image = Path(str(next(question.image for question in questions_of(run) if question.image)))
    (tmp_path / "half.png").write_bytes(image.read_bytes()[:2000])
    with Image.open(tmp_path / "half.png") as half:
        for broken, message in (
            (b"no image", "8 bytes: unreadable"),
            (b"", "0 bytes: empty file"),
            (tmp_path / "half.png", r"half\.png: unreadable"),
            (half, "unreadable"),
            (tmp_path / "absent.png", r"absent\.png: not found"),
            (tmp_path, "not a file"),
            ("\0", "not found"),
            (bomb(20_000, 10_000), "too large"),
            (bomb(20_000, 100), "too narrow"),
            (Image.new("RGB", (0, 0)), "too narrow"),
        ):
            with pytest.raises(DataError, match=rf"(?s)an image that can be read.*{message}"):
                linker.link("Velton", image=broken)
    with pytest.raises(DataError) as megabytes:  # no path, and too long for a message
        linker.link("Velton", image="data:image/png;base64," + "A" * 1_000_000)
    assert len(str(megabytes.value)) < 1_000
    for no_image in (5, [5], np.zeros((4, 4, 3))):
        with pytest.raises(DataError, match="an image as a path, as the bytes of a file, or opened by Pillow"):
            linker.link("Velton", image=no_image)  # type: ignore[arg-type]


def bomb(width: int, height: int) -> bytes:
    """A PNG that says that it has so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(bytes(1000))
    return start + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
