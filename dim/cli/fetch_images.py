"""`dim fetch-images`: the images that a dataset names by URL, into its image folder."""

from __future__ import annotations

import json
from pathlib import Path

from dim import __version__
from dim.core.files import atomic_path, explain_write_errors
from dim.core.locks import folder_lock
from dim.core.progress import shown
from dim.data.dataset import FAILURE_FILE, URL_FILE, Dataset
from dim.data.skipped import Skipped
from dim.display.terminal import Console, Text
from dim.errors import ConfigError, DataError
from dim.images.decoders import Decoders
from dim.images.fetching import Pace, fetch_all
from dim.images.reading import UnusableImageError
from dim.images.remote import FETCHED, FetchError, Limits, fetch, fetched_path

DECODE_S = 120.0  #: That an image may take to decode.


def fetch_images(
    dataset: Path,
    delay_s: float = 1.0,
    timeout_s: float = 30.0,
    max_mb: float = 50.0,
    retries: int = 2,
    max_wait_s: float = 600.0,
    user_agent: str = f"dim-linker/{__version__}",
    own_network: bool = False,
) -> None:
    """Gets the images that a dataset names by URL, and keeps what decodes as an image.

    One request is under way at a time. What is in the image folder is not asked for again, so the command may be
    stopped and called again; what failed is tried anew. No robots.txt is read: whether you may fetch is yours to know.

    Args:
        dataset: A dataset folder; the images go into the folder `fetched` of its image folder.
        delay_s: Seconds between two requests to one host.
        timeout_s: The longest time for one request.
        max_mb: The largest image, in 2^20 bytes.
        retries: Further tries of an image, where the host is busy or does not answer.
        max_wait_s: The longest wait that a host may ask for (Retry-After); one that asks for more is left alone.
        user_agent: What hosts are told; many want an address in it: "my-museum/1.0 (me@example.org)".
        own_network: Whether addresses of this machine's own network may be asked, too.

    Raises:
        ConfigError: A number makes no sense, or another process writes the dataset.
        DataError: It is no dataset folder, its URLs have other paths than dim gives them, or `fetched` is a link out of
            the image folder.
        StorageError: The disk is full, or the image folder may not be written.
    """
    if not (delay_s >= 0 and timeout_s > 0 and max_mb > 0 and retries >= 0 and max_wait_s >= 0):
        raise ConfigError("times, sizes and counts above 0", "one below", "Raise it.")
    if not user_agent.isascii() or not user_agent.isprintable():
        raise ConfigError("a user agent in ASCII", user_agent, "Write it without other letters.")
    data, console = Dataset(dataset), Console()
    _check_paths(data)
    limits = Limits(timeout_s, int(max_mb * 2**20), own_network=own_network, user_agent=user_agent)
    pace = Pace(delay_s, retries, max_wait_s=max_wait_s)
    with folder_lock(data.root, "dim fetch-images"):
        absent = {path: url for path, url in data.image_urls.items() if not (data.image_root / path).exists()}
        console.say(
            Text(f"{len(data.image_urls):,} images by URL, {len(data.image_urls) - len(absent):,} here already")
        )
        failed = _fetch(data, absent, limits, pace) if absent else Skipped()
    console.say(Text(f"fetched {len(absent) - failed.total:,} into {data.image_root}"))
    for reason, count in failed.counts.most_common():
        first = ", ".join(failed.examples[reason][:2])
        console.say(Text(f"  failed: {reason}: {count:,}, first {first}"))
    if failed.total:
        console.say(
            Text(f"all {failed.total:,} that failed: {data.root / FAILURE_FILE}; the same command tries them again")
        )


def _check_paths(data: Dataset) -> None:
    """Makes sure that no dataset says where files of this machine are written."""
    for path, url in data.image_urls.items():
        if path != fetched_path(url):
            expected = f"the path {fetched_path(url)} for {url} in {data.root / URL_FILE}"
            raise DataError(expected, path, "Prepare the dataset again: dim prepare RELEASE FOLDER.")
    folder, found = data.image_root / FETCHED, (data.image_root / FETCHED).resolve()
    if not found.is_relative_to(data.image_root.resolve()):
        raise DataError(f"{folder} inside of the image folder", f"a link to {found}", "Remove the link.")


def _fetch(data: Dataset, absent: dict[str, str], limits: Limits, pace: Pace) -> Skipped:
    """Writes the images, and the list of those that failed."""
    failed, report = Skipped(), data.root / FAILURE_FILE
    with explain_write_errors(report):
        report.unlink(missing_ok=True)  # a stranger's may be a link: what it leads to is not written over
    with (
        Decoders(1, DECODE_S) as decoders,
        shown("fetch-images", len(absent)) as advance,
        explain_write_errors(report),
        report.open("w", encoding="utf-8") as lines,
    ):
        for path, found in fetch_all(absent, lambda url: fetch(url, limits), pace):
            reason = found.reason if isinstance(found, FetchError) else _keep(data, path, found, decoders)
            if reason:
                failed.add(reason, absent[path])
                lines.write(json.dumps({"path": path, "url": absent[path], "reason": reason}) + "\n")
                lines.flush()
            advance()
    return failed


def _keep(data: Dataset, path: str, found: bytes, decoders: Decoders) -> str:
    """Writes an image; says why not where it is none."""
    try:
        decoders.decode(found)
    except UnusableImageError as error:
        return f"no image that can be used: {error.reason}"
    with atomic_path(data.image_root / path) as new:
        new.write_bytes(found)
    return ""
