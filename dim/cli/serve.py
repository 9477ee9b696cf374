"""`dim serve`: a linker over HTTP."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Literal

from dim.display.log import VISIBLE
from dim.display.terminal import Console
from dim.errors import MissingExtraError
from dim.linker import Linker
from dim.linker.opening import open_linker
from dim.serve.settings import Settings, is_loopback

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
    root_path: str = "",
    evidence: Literal["none", "short", "full"] = "full",
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
        root_path: The path below which a proxy has this server, such as /mel. Questions may come with it or without.
        evidence: What answers say of what their scores are made of: `full` is about 50 numbers an answer of a linker
            with a ranker, `short` the dozen that people read.
    """
    token = token if token is not None else os.environ.get(TOKEN) or None
    settings = Settings(
        max_body_bytes=max_body_bytes,
        max_buffered_bytes=max_buffered_bytes,
        max_pixels=max_pixels,
        max_decoding_bytes=max_decoding_bytes,
        max_batch=max_batch,
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
    )
    check_extra()
    from dim.serve.kept_images import KeptImages  # they need the extra
    from dim.serve.origin import names_of
    from dim.serve.reload import settle
    from dim.serve.served import Edition
    from dim.serve.server import allow_connections, bound_socket, run

    names = names_of(host, token, allowed_hosts)
    settings = replace(settings, max_connections=allow_connections(max_connections), allowed_hosts=names)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(VISIBLE)
    for name in ("python_multipart", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of each client's mistake

    def opened() -> Edition:
        while True:
            images = KeptImages(Path(model)) if Path(model).is_dir() else None
            linker = open_linker(model, device, trust, dataset, image_root)
            if images is not None:
                images.keep(image for entity in linker.knowledge for image in entity.images)
            if images is None or images.is_of_this_folder():
                linker.link("a", top_k=1)  # so that the first question does not wait for what is made on first use
                return Edition(linker, settings, images)

    console = Console()
    with bound_socket(host, port) as listener:
        with Console(stderr=True).status("Loading the linker …"):
            app = import_module("dim.serve.app").create_app(opened(), settings, opened)
            settle()
        for line in opening_lines(model, app.state.served.edition.linker, listener, settings, max_connections):
            console.print(line, soft_wrap=True, highlight=False)
        interrupted = run(app, settings, listener)
    served = app.state.served.metrics
    console.print(f"stopped: all {served.num_accepted():,} accepted questions are answered", soft_wrap=True)
    if interrupted:
        raise KeyboardInterrupt


def check_extra() -> None:
    """Raises MissingExtraError where a package is absent that the server needs."""
    for package in NEEDED:
        try:
            import_module(package)
        except ImportError as error:
            raise MissingExtraError(package, "serve") from error


def opening_lines(
    model: str, linker: Linker, listener: socket.socket, settings: Settings, wanted_connections: int
) -> list[str]:
    """What is said when the server begins: what it serves and where, and what its user should know."""
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.root_path}"
    lines = [f"model: {model}, {len(linker):,} entities", f"page:  {address}/", f"API:   {address}/docs"]
    if linker.calibrated_on:
        lines.append(f"probabilities: {linker.calibrated_on}")
    if settings.max_connections < wanted_connections:
        allowed = f"{settings.max_connections:,}, not {wanted_connections:,}"
        lines.append(f"connections: {allowed}: the system allows no more open files")
    if settings.token is None and not is_loopback(host):
        lines.append(
            f"WARNING: whoever reaches {host} may ask this linker, and see its KB. Give a --token, or set {TOKEN}."
        )
    return lines
