"""The images of questions and entities, made ready for a linker's encoders."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace

from PIL import Image

from dim.display.log import log
from dim.errors import DataError
from dim.features.batch import Batch
from dim.features.live import ImageInput, LiveEncoder, ReadyImage
from dim.images.given import Decode, decode_here, open_image
from dim.images.reading import UnusableImageError
from dim.images.scaled import shrunk
from dim.linker.answer import Question, of_question

LOG = log("dim")
#: How to go on where most images that entities name are missing.
WITHOUT_IMAGES = "To go on by names and texts: without an image encoder."
MOST_SHOWN = 500  #: Characters of a path in a message; a data URL in its place has millions.


class ImageReader:
    """Makes images ready for the encoders of some fields.

    Args:
        live: The encoders.
        wanted: The fields.
        decode: Decodes; by default this process.
        seen_side: Pixels of the longer side of what a judge sees; None: none sees images.
    """

    def __init__(
        self, live: LiveEncoder, wanted: Sequence[str], decode: Decode = decode_here, seen_side: int | None = None
    ) -> None:
        self.live, self.wanted, self.decode, self.seen_side = live, wanted, decode, seen_side

    def ready(self, image: Image.Image) -> ReadyImage:
        """A decoded image as encoders take it, and as a judge sees it."""
        found = self.live.ready(image, self.wanted)
        return found if self.seen_side is None else replace(found, seen=shrunk(image, self.seen_side))

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
            return self.ready(open_image(image, self.live.draft_side, self.decode))
        except (UnusableImageError, OSError) as error:
            shown = f"{len(image)} bytes" if isinstance(image, bytes) else str(image)[:MOST_SHOWN]
            is_url = isinstance(image, str) and "://" in image
            remedy = "Download it first: no URL is fetched." if is_url else "Give another image, or none."
            raise DataError("an image that can be read", f"{shown}: {error}", remedy) from error

    def _first_usable(self, images: Sequence[ImageInput]) -> ReadyImage | None:
        usable: list[ReadyImage] = []
        for place, image in enumerate(images):
            if len(usable) == self.live.choices.num_images:
                break
            is_last_hope = place == len(images) - 1 and not usable
            with nullcontext() if is_last_hope else suppress(DataError):
                if (ready := self.open(image)) is not None:
                    usable.append(ready)
        return ReadyImage.together(usable) if usable else None


def encoded_questions(
    questions: Sequence[Question], live: LiveEncoder, reader: ImageReader, reads_images: bool, fields: Sequence[str]
) -> Batch:
    """Some fields of questions, encoded. Raises QuestionError as `question_images`."""
    return live.mentions(
        [question.mention for question in questions],
        [question.context for question in questions],
        question_images(questions, reader, reads_images),
        tuple(fields),
        [question.span for question in questions],
    )


def told_unseen(questions: Sequence[Question]) -> bool:
    """Warns where questions of a linker that looks at no image have one."""
    has_one = any(question.image for question in questions)
    if has_one:
        LOG.warning("this linker looks at no image: those of questions change no answer")
    return has_one


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
