"""`dim serve`: a linker over HTTP."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dim.display.counts import count_of
from dim.display.terminal import Console
from dim.errors import MissingExtraError
from dim.serve.settings import Settings, is_loopback

if TYPE_CHECKING:
    from dim.serve.control import Ended, Opened

TOKEN = "DIM_TOKEN"  #: The environment's variable.
NEEDED = ("fastapi", "uvicorn", "prometheus_client", "python_multipart")


def serve(
    model: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    device: str = "auto",
    dataset: Path | None = None,
    max_body_bytes: int = Settings.max_body_bytes,
    max_buffered_bytes: int = Settings.max_buffered_bytes,
    max_values: int = Settings.max_values,
    max_pixels: int = Settings.max_pixels,
    max_decoding_bytes: int = Settings.max_decoding_bytes,
    max_batch: int = Settings.max_batch,
    max_mentions: int = Settings.max_mentions,
    max_entities: int = Settings.max_entities,
    max_top_k: int = Settings.max_top_k,
    batch_size: int = Settings.batch_size,
    batch_wait_ms: float = Settings.batch_wait_ms,
    queue_size: int = Settings.queue_size,
    timeout_s: float = Settings.timeout_s,
    body_timeout_s: float = Settings.body_timeout_s,
    max_connections: int = Settings.max_connections,
    allowed_hosts: str | None = None,
    trust: str | None = None,
    image_root: Path | None = None,
    finder: Literal["dictionary", "spacy", "gliner"] = "dictionary",
    finder_model: str | None = None,
    finder_labels: list[str] | str | None = None,
    ignore_case: bool = False,
    workers: int = 1,
    root_path: str = "",
    evidence: Literal["none", "short", "full"] = "full",
    access_log: Literal["none", "text", "json"] = "none",
    uri_prefix: str = "",
    writable: bool = False,
    judge: str = "saved",
) -> None:
    """Answers questions to a linker over HTTP, with a page at /, until it is stopped.

    On SIGTERM or Ctrl-C it accepts nothing more, answers what it has accepted, and ends. On SIGHUP, or a POST to
    /reload with the token, it opens the model again: what was asked before is answered by the linker of before, and
    where the new one cannot be opened, that one goes on.

    Args:
        model: A folder that `dim export` wrote, the run folder of `dim fit`, or an id on the Hugging Face hub.
        host: The address to listen at; the default is reached from this machine alone.
        port: 0 takes any free one.
        token: Who does not send it is refused; the default is the environment's DIM_TOKEN, which no list of processes
            shows, or no token.
        device: `auto`, `cpu`, `cuda` …
        dataset: Of a run, where its dataset stands now, if it has moved.
        max_body_bytes: Of one request's body.
        max_buffered_bytes: Of all bodies that are held at once, from their first byte to their answer.
        max_values: Numbers, texts, lists … in a JSON body.
        max_pixels: Of one uploaded image.
        max_decoding_bytes: Of memory for all images that are decoded at once, by what their headers tell.
        max_batch: Questions of one request.
        max_mentions: That are found in one text.
        max_entities: That one request adds or removes.
        max_top_k: Answers a question at most.
        batch_size: Questions that the linker answers at once.
        batch_wait_ms: How long a batch that is not full waits for company.
        queue_size: Questions that are accepted and not yet answered.
        timeout_s: How long an accepted question may wait for its answer.
        body_timeout_s: How long a client may take for its head, for its body, and taking nothing of its answer.
        max_connections: Open at once.
        allowed_hosts: Further names, separated by commas, that the server answers to, as a browser sends them in Host.
            Listening at this machine alone and without a token, it answers to `localhost` and its own address.
        trust: Packages, separated by commas, whose classes the linker's folder may name; they are imported.
        image_root: Of a linker's folder, where the images of its KB stand that are not in it; no others are shown.
        finder: What finds the mentions of texts that come without: a `dictionary` of the KB's names and aliases,
            `spacy`, or `gliner`.
        finder_model: Of spaCy the name of an installed pipeline, of GLiNER an id on the hub; or its folder.
        finder_labels: A list, or one text with `|` between them: those of spaCy's entities that count, or what GLiNER
            looks for.
        ignore_case: Has the dictionary find names in any case.
        workers: Processes that answer, each with the linker open and limits of its own; they share what is mapped from
            its folder. One that dies is replaced.
        root_path: The path below which a proxy has this server, such as /mel. Questions may come with it or without.
        evidence: What answers say of what their scores are made of: `full` is about 50 numbers an answer of a linker
            with a ranker, `short` the dozen that people read.
        access_log: A line for each request on stdout, `json` for programs or `text`. It has no questions.
        uri_prefix: What stands before an entity's id to make it a URI, for /nif: http://www.wikidata.org/entity/ before
            Q42. By default an id that is no URI is named urn:dim:ID.
        writable: Have POST and DELETE /entities change the folder of `model`, for who has the token: it is saved there,
            as `dim add` and `dim remove` do, and answered by at once.
        judge: Who reads the mentions that the ranker is not sure of, where `dim judge` set one up: `saved`, `none`, or
            the URL of the server that has its model.
    """
    token = token if token is not None else os.environ.get(TOKEN) or None
    settings = Settings(
        max_body_bytes=max_body_bytes,
        max_buffered_bytes=max_buffered_bytes,
        max_pixels=max_pixels,
        max_decoding_bytes=max_decoding_bytes,
        max_batch=max_batch,
        max_mentions=max_mentions,
        max_entities=max_entities,
        max_top_k=max_top_k,
        batch_size=batch_size,
        batch_wait_ms=batch_wait_ms,
        queue_size=queue_size,
        timeout_s=timeout_s,
        body_timeout_s=body_timeout_s,
        max_connections=max_connections,
        max_values=max_values,
        token=token,
        root_path=root_path.rstrip("/"),
        evidence=evidence,
        access_log=access_log,
        uri_prefix=uri_prefix,
        writable=writable,
    )
    check_extra()
    from dim.serve.origin import names_of  # they need the extra
    from dim.serve.server import allow_connections, bound_socket
    from dim.serve.source import FinderOptions, Source

    names = names_of(host, token, allowed_hosts)
    settings = replace(settings, max_connections=allow_connections(max_connections), allowed_hosts=names)
    finding = FinderOptions(finder, finder_model, finder_labels, ignore_case)
    source = Source(model, device, dataset, trust, image_root, finding, judge)
    console = Console()
    with bound_socket(host, port) as listener:
        status = Console(stderr=True).status("Loading the linker …")

        def begun(opened: Opened) -> None:
            status.stop()
            for line in opening_lines(model, opened, listener, settings, max_connections, workers):
                console.say(line, highlight=False)

        with status:
            if workers == 1:
                from dim.serve.alone import serve_alone

                ended = serve_alone(source, settings, listener, begun)
            else:
                from dim.serve.workers import Workers

                ended = Workers(source, settings, listener, workers).run(begun)
    console.say(closing_line(ended))
    if ended.interrupted:
        raise KeyboardInterrupt


def check_extra() -> None:
    """Raises MissingExtraError where a package is absent that the server needs."""
    for package in NEEDED:
        try:
            import_module(package)
        except ImportError as error:
            raise MissingExtraError(package, "serve") from error


def opening_lines(
    model: str, opened: Opened, listener: socket.socket, settings: Settings, wanted_connections: int, workers: int = 1
) -> list[str]:
    """What is said when the server begins: what it serves and where, and what its user should know."""
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.root_path}"
    lines = [
        f"model: {model}, {count_of(opened.num_entities, 'entity')}",
        f"page:  {address}/",
        f"API:   {address}/docs",
    ]
    if workers > 1:
        from dim.serve.workers import num_threads

        threads = num_threads(workers)
        lines.append(f"workers: {workers}, which compute with {count_of(threads, 'thread')} each")
    if opened.calibrated_on:
        lines.append(f"probabilities: {opened.calibrated_on}")
    if settings.writable:
        lines.append("writable: who has the token may add entities to the folder, and remove some")
    if settings.max_connections < wanted_connections:
        allowed = f"{settings.max_connections:,}, not {wanted_connections:,}"
        lines.append(f"connections: {allowed}: the system allows no more open files")
    if settings.token is None and not is_loopback(host):
        lines.append(
            f"WARNING: whoever reaches {host} may ask this linker, and see its KB. Give a --token, or set {TOKEN}."
        )
    return lines


def closing_line(ended: Ended) -> str:
    """What is said when the server has ended."""
    asked = count_of(ended.num_accepted, "question")
    if ended.forced:
        return f"stopped at once: {asked} accepted; those that waited got no answer"
    if not ended.num_died:
        return f"stopped: {asked} accepted, and all answered"
    died = count_of(ended.num_died, "process")
    return f"stopped: {asked} accepted; {died} died, and what they had then got no answer"
