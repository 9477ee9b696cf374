"""The captions of a dataset by a server, as those of a captioner are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dim.core.coroutines import run_to_end
from dim.core.files import check_variant, content_hash
from dim.data.dataset import Dataset
from dim.errors import DimError
from dim.features.cache import by_reason
from dim.features.captions import Captions, Item
from dim.features.inputs import Inputs
from dim.images.reading import UnusableImageError, read_image
from dim.images.regions import split_region
from dim.refresh.answers import AnswerLog
from dim.refresh.caption_server import CaptionAsking, CaptionServer, Picture
from dim.refresh.reply import usable_text


def served_captions(
    server: CaptionServer, inputs: Inputs, dataset: Dataset, name: str
) -> tuple[Captions, list[str], str | BaseException]:
    """What a server says about pictures, from the record or asked now.

    Returns:
        The captions, lines on what was sent and what failed, and why asking stopped early, nothing where it did not:
        the error, or Ctrl-C, is to be raised once the captions are put to use.
    """
    items: Sequence[Item] = inputs.unique
    # What was paid for counts for an image wherever it stands and whenever it was written.
    states = {path: _content(path, dataset.image_root) for paths, _ in items for path in paths}
    pictures = [Picture(paths, question, " ".join(states[path] for path in paths)) for paths, question in items]
    log = AnswerLog(dataset.root, f"captions-{check_variant(name)}", "dim caption")
    with log.open() as add:
        asking = CaptionAsking(server, pictures, dataset.image_root, log)
        stop: str | BaseException
        try:
            stop = run_to_end(asking.run(add))
        except (DimError, KeyboardInterrupt) as error:
            stop = error
    return _captions(asking, inputs), _told(asking), stop


def _content(path: str, root: Path) -> str:
    """What tells an image, or a region of it, from others; why it cannot be read where it cannot."""
    file, box = split_region(path)
    try:
        return f"{content_hash(read_image(root / file, root))} {box}"
    except UnusableImageError as error:
        return error.reason


def _told(asking: CaptionAsking) -> list[str]:
    lines = [f"sent      {asking.budget.told()}"]
    if asking.budget.num_timed_out and asking.asker is not None:
        lines.append(f"time-outs {asking.asker.advice()} should do")
    latest = [answer for key in asking.hashes if (answer := asking.latest.get(key)) is not None]
    counts = Counter(answer.status for answer in latest if answer.status != "ok")
    for status, count in counts.most_common():
        first = next(answer for answer in latest if answer.status == status)
        lines.append(f"failed    {count:,} {status}, such as {first.entity_id}: {first.detail or 'no more was said'}")
    return lines


def _captions(asking: CaptionAsking, inputs: Inputs) -> Captions:
    answers = [asking.answer(picture) for picture in range(len(asking.pictures))]
    said = [None if answer is None else usable_text(answer.text) for answer in answers]
    owners = inputs.rows[inputs.rows >= 0].tolist()
    missing = Counter(asking.missing[row] for row in owners if row in asking.missing)
    frame = pd.DataFrame(
        {
            "images": pd.Series([list(each.paths) for each in asking.pictures], dtype=object),
            "question": pd.Series([each.question for each in asking.pictures], dtype=object),
            "answer": pd.Series(said, dtype=object),
            "block": pd.Series(asking.hashes, dtype=object),
        }
    )
    log = [{"time": answer.date, "block": answer.request_hash} for answer in answers if answer is not None]
    facts = {"num_present": len(owners) - missing.total(), "missing": dict(missing)}
    by_owner = [said[row] if row >= 0 else None for row in inputs.rows.tolist()]
    return Captions(by_owner, frame, log, facts | {"unusable_files": by_reason(asking.failures)})
