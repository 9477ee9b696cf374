"""The images of questions and entities, made ready for a linker's encoders."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress

from dim.errors import DataError
from dim.features.live import ImageInput, LiveEncoder, ReadyImage
from dim.images.given import Decode, decode_here, open_image
from dim.images.reading import UnusableImageError
from dim.linker.answer import Question, of_question

#: How to go on where most images that entities name are missing.
WITHOUT_IMAGES = "To go on by names and texts: without an image encoder."


class ImageReader:
    """Makes images ready for the encoders of some fields.

    Args:
        live: The encoders.
        wanted: The fields.
        decode: Decodes; by default this process.
    """

    def __init__(self, live: LiveEncoder, wanted: Sequence[str], decode: Decode = decode_here) -> None:
        self.live, self.wanted, self.decode = live, wanted, decode

    def open(self, image: ImageInput | Sequence[ImageInput] | None) -> ReadyImage | None:
        """The image of a question or an entity; of several the first usable ones, as many as the encoders are given.

        Raises:
            DataError: None can be used.
        """
        if image is None or isinstance(image, ReadyImage):
            return image
        if isinstance(image, Sequence) and not isinstance(image, str | bytes):
            return self._first_usable(image)
        try:
            return self.live.ready(open_image(image, self.live.draft_side, self.decode), self.wanted)
        except (UnusableImageError, OSError) as error:
            shown = f"{len(image)} bytes" if isinstance(image, bytes) else str(image)
            is_url = isinstance(image, str) and "://" in image
            remedy = "Download it first: no URL is fetched." if is_url else "Give another image, or none."
            raise DataError("an image that can be read", f"{shown}: {error}", remedy) from error

    def _first_usable(self, images: Sequence[ImageInput]) -> ReadyImage | None:
        usable: list[ReadyImage] = []
        for place, image in enumerate(images):
            if len(usable) == self.live.num_images:
                break
            is_last_hope = place == len(images) - 1 and not usable
            with nullcontext() if is_last_hope else suppress(DataError):
                if (ready := self.open(image)) is not None:
                    usable.append(ready)
        return ReadyImage.together(usable) if usable else None


def question_images(questions: Sequence[Question], reader: ImageReader, reads_images: bool) -> list[ReadyImage | None]:
    """The images of questions, as far as a linker reads any; that of a text with many mentions once.

    Raises:
        QuestionError: An image cannot be used, or a question has nothing but an image, which is not read.
    """
    images: dict[int, ReadyImage | None] = {}
    for place, question in enumerate(questions):
        with of_question(place):
            if not reads_images and not question.mention.strip():
                raise DataError("a mention", "an image alone, which this linker does not read", "Give the name.")
            if reads_images and id(question.image) not in images:
                images[id(question.image)] = reader.open(question.image)
    return [images.get(id(question.image)) for question in questions]
