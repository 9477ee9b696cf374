"""`dim caption`: what a captioner says of the mentions' images, written into the dataset folder."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dim.cli.served_captions import served_captions
from dim.core.files import check_variant, content_hash, file_name_of
from dim.core.locks import folder_lock
from dim.core.plugins import encoder_classes
from dim.core.ray_cluster import Engine, open_executor
from dim.data.caption_file import GivenCaptions, read_captions
from dim.data.dataset import Dataset
from dim.data.missing_images import MAX_MISSING_IMAGES, NamedImages, check_images, check_limit
from dim.display.lines import say
from dim.display.terminal import Console
from dim.encoders.base import Captioner
from dim.encoders.blip2 import Blip2Captioner
from dim.errors import ConfigError, DataError
from dim.features.cache import FeatureCache
from dim.features.caption_store import write_answers, write_captions
from dim.features.captions import Captions, cached_captions, caption_inputs, has_text
from dim.features.image_counts import absent_images, used_images
from dim.features.inputs import Inputs
from dim.features.spread import Means
from dim.images.reading import num_decoders
from dim.refresh.caption_server import CaptionServer
from dim.releases.prepare import open_dataset

NUM_EXAMPLES = 5
encoder_classes()  # every captioner that is installed is known by its short name


def caption(
    data: Path,
    captioner: Captioner | None = None,
    import_from: Path | None = None,
    overwrite: bool = False,
    name: str | None = None,
    cache_dir: Path = Path("cache"),
    batch_size: int = 16,
    num_workers: int | None = None,
    max_missing_images: float = MAX_MISSING_IMAGES,
    encoding: str | None = None,
    engine: Engine = "local",
    address: str | None = None,
    images: Path | None = None,
    server: CaptionServer | None = None,
) -> Dataset:
    """Asks a captioner about each mention's image and writes the answers into the dataset folder.

    The mentions' column `caption` holds the answer; `captions/<name>.parquet` records images, question, answer, model
    and options. Killed at any moment and run again, it goes on where it stood; of a server, each answer is kept at once
    in `answers/captions-<name>.jsonl`, and no finished one is asked for again.

    Args:
        data: A dataset folder, or the release that it is made of (then it is prepared into the cache first).
        captioner: The default is Blip2Captioner.
        import_from: Captions that you have: a .csv, .jsonl or .parquet with the columns `caption` and `mention_id` or
            `image`. No captioner is asked.
        overwrite: Replace captions that the mentions have already.
        name: Of the record; by default after the model or the file.
        cache_dir: Where finished answers are kept and found again.
        batch_size: Images a call of the captioner.
        num_workers: Processes that decode images; 0 decodes in this one. The default is one a core, at most 8.
        max_missing_images: The share of mentions that may miss the images that they name; beyond, nothing is written.
        encoding: Of the file that is imported; the default is told by its first bytes, else UTF-8.
        engine: `local` is this process; `ray` spreads the blocks over a Ray cluster, all of whose nodes see the
            weights and the images under the same paths (extra `ray`).
        address: Of a running Ray cluster; the default starts one on this machine for this run.
        images: The image folder of a release, as of `dim prepare`; the default is where the release has it.
        server: A vision model behind an OpenAI-compatible server in the place of a captioner: --server.model NAME
            --server.base_url URL. Before the first caption it is shown a picture, and must tell what is on it.

    Returns:
        The dataset with its captions.

    Raises:
        ConfigError: An option does not fit, the captioner cannot be loaded, or the server's model sees nothing.
        DataError: The dataset or the file of captions cannot be read.
        StorageError: The disk is full.
    """
    if batch_size < 1:
        raise ConfigError("a batch size of at least 1", str(batch_size), "Raise it.")
    said_by = {"--captioner": captioner, "--import_from": import_from, "--server": server}
    ways = [way for way, value in said_by.items() if value is not None]
    if len(ways) > 1:
        remedy = "Leave one out; import first, then caption the rest."
        raise ConfigError("one way to captions", " and ".join(ways), remedy)
    if server is not None and engine != "local":
        raise ConfigError("engine local for a server", str(engine), "Leave it out: --server.concurrency asks at once.")
    dataset = open_dataset(data, cache_dir, images)
    before, stop = _num_captions(dataset), None
    if import_from is not None:
        given = read_captions(import_from, dataset.mentions, encoding)
        source, said, answers, log = import_from.stem, given.by_mention, _imported(dataset, given, import_from), []
        _say_import(given, import_from)
    else:
        absent = absent_images(dataset, "mention")
        if not absent.named:
            remedy = "Give the mentions a column image, or captions of your own: --import_from FILE."
            raise DataError("mentions with images to ask about", f"none in {dataset.name} that names one", remedy)
        check_images(absent, check_limit(max_missing_images), dataset.image_root)
        asked: Captioner | CaptionServer = server or captioner or Blip2Captioner()
        inputs = _say_questions(dataset, asked.question, overwrite, before)
        if isinstance(asked, CaptionServer):
            found, told, stop = served_captions(asked, inputs, dataset, name or _name_of(asked.model))
            for line in told:
                say(line)
        else:
            with open_executor(engine, address) as executor:
                means = Means(executor, batch_size, num_decoders(num_workers), Console(stderr=True))
                cache = FeatureCache(Path(cache_dir) / "features")
                found = cached_captions(cache, asked, inputs, dataset.image_root, means)
        source, said, answers, log = asked.model, found.by_owner, _answers(found, asked), found.log
        _say_missing(dataset, found)
        check_images(_used_images(dataset, inputs, found), max_missing_images, dataset.image_root)
    record = check_variant(name or _name_of(source))
    with folder_lock(dataset.root, "dim caption", wait=True):
        now = Dataset(dataset.root)
        if now.hash != dataset.hash:  # the captions are by row
            raise DataError(
                f"the mentions that were captioned in {dataset.root}",
                "others: it was written anew meanwhile",
                "Run the same command again; finished answers are kept.",
            )
        if len(answers):
            path = write_answers(now, record, answers, log)
            say(f"recorded  {path}: {len(answers):,} answers")
        dataset = write_captions(now, said, overwrite)
    _say_result(dataset, before)
    if isinstance(stop, BaseException):
        raise stop
    if stop:
        say(f"stopped   before the next call: {stop}. The same command goes on (a budget counts one run).")
    return dataset


def _say_questions(dataset: Dataset, question: str, overwrite: bool, before: int) -> Inputs:
    inputs = caption_inputs(dataset, question, overwrite)
    num_asked = int((inputs.rows >= 0).sum())
    kept = "" if overwrite else f"; {before:,} mentions keep the caption that they have"
    say(f"{dataset.name}: {len(inputs.unique):,} questions about images, for {num_asked:,} mentions{kept}")
    return inputs


def _used_images(dataset: Dataset, inputs: Inputs, found: Captions) -> NamedImages:
    """Of all mentions that name images: those that have a caption are not asked about again, and count as used."""
    named = sum(1 for paths in dataset.column("mentions", "images").to_pylist() if paths)
    used = used_images(dataset, "mention", found.manifest)
    return replace(used, named=used.named + named - int((inputs.rows >= 0).sum()))


def _answers(found: Captions, captioner: Captioner | CaptionServer) -> pd.DataFrame:
    answers = found.answers[found.answers["answer"].notna()].reset_index(drop=True)
    return answers.assign(
        model=captioner.model,
        prompt_hash=content_hash(captioner.question),
        fingerprint=captioner.fingerprint,
        parameters=json.dumps(captioner.parameters, sort_keys=True),
    )


def _imported(dataset: Dataset, given: GivenCaptions, path: Path) -> pd.DataFrame:
    origin = f"imported from {path.name} {content_hash(path.read_bytes())}"
    rows = zip(dataset.mentions["images"].tolist(), given.by_mention, strict=True)
    unique = sorted({(tuple(images if images is not None else ()), said) for images, said in rows if said is not None})
    return pd.DataFrame(
        {"images": [list(images) for images, _ in unique], "answer": [said for _, said in unique]}
    ).assign(fingerprint=origin)


def _num_captions(dataset: Dataset) -> int:
    return sum(map(has_text, dataset.mentions["caption"].tolist()))


def _name_of(model: str) -> str:
    """The default name of a record.

    Example:
        >>> _name_of("Salesforce/blip2-opt-2.7b"), _name_of("models/my BLIP/")
        ('blip2-opt-2.7b', 'my-BLIP')
    """
    return file_name_of(model).lstrip(".-") or "captions"


def _say_import(given: GivenCaptions, path: Path) -> None:
    say(f"imported  {sum(said is not None for said in given.by_mention):,} mentions' captions from {path}")
    for note in given.notes:
        say(f"note      {note}")
    for what, names in (
        ("unknown to the dataset, left out", given.unknown),
        ("without a caption, left out", given.blank),
        ("given twice with another caption, the first is used", given.repeated),
    ):
        if names:
            say(f"          {len(names):,} {what}: {_examples(names)}")


def _say_missing(dataset: Dataset, found: Captions) -> None:
    for reason, facts in found.manifest["unusable_files"].items():
        say(f"unusable  {facts['count']:,} {reason}: {_examples(facts['examples'], facts['count'])}")
    silent = sum(isinstance(answer, str) and not answer for answer in found.answers["answer"].tolist())
    if silent:
        say(f"empty     {silent:,} answers; these mentions get no caption")


def _say_result(dataset: Dataset, before: int) -> None:
    mentions = dataset.mentions
    has = [has_text(said) for said in mentions["caption"].tolist()]
    counts = Counter(
        "with an image" if images is not None and len(images) else "without an image"
        for images, said in zip(mentions["images"].tolist(), has, strict=True)
        if not said
    )
    rest = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())) or "none"
    say(f"captions  {sum(has):,} of {len(has):,} mentions in {dataset.root} ({before:,} before); left: {rest}")


def _examples(names: list[str], count: int | None = None) -> str:
    shown = ", ".join(names[:NUM_EXAMPLES])
    return f"{shown} …" if (count or len(names)) > NUM_EXAMPLES else shown
