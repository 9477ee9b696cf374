"""What a server allows and how long it waits."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass, field, fields
from typing import get_args

from dim.core.choices import check_choice
from dim.data.entity_uris import EntityUris
from dim.errors import ConfigError
from dim.serve.access_log import Kind
from dim.serve.evidence import HowMuch

_ROOT = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")


@dataclass(frozen=True)
class Settings:
    """The limits of a server. What is over a limit is refused with a clear answer, and nothing else suffers.

    Attributes:
        max_body_bytes: Of one request's body; more is 413.
        max_buffered_bytes: Of all bodies that are held at once, from their first byte to their answer; more is 503.
        max_values: Numbers, texts, lists … in a JSON body; more is 413.
        max_pixels: Of one uploaded image, by its header; more is 413.
        max_decoding_bytes: Of memory for all images that are decoded at once, uploads and the KB's own, by what their
            headers tell; further ones wait for their turn, and one that needs more is never decoded.
        max_batch: Questions of one request.
        max_mentions: That are found in one text; more are 422.
        max_entities: That one request adds or removes; more are 422.
        max_top_k: Answers a question at most.
        batch_size: Questions that the linker answers at once.
        batch_wait_ms: How long a batch waits for company, in milliseconds, unless it is full before; at 0 it goes when
            the linker is free, and batches arise under load.
        queue_size: Questions that are accepted and not yet answered; more are 503.
        timeout_s: How long an accepted question may wait for its answer, in seconds; then 503.
        body_timeout_s: How long a client may take for its head, and for its body, and may take nothing of its answer,
            in seconds.
        max_connections: Open at once; beyond, those that ask nothing are closed, the oldest first.
        token: Who does not send it is refused with 401; None: anyone may ask.
        allowed_hosts: Names that the server answers to, as they stand in the header Host; None: to any.
        root_path: The path below which a proxy has the server, such as `/mel`; empty: it has the server for itself.
        evidence: How much answers say of what their scores are made of.
        access_log: A line for each request on stdout, or none.
        uri_prefix: What stands before an entity's id to make it a URI, for `/nif`; empty: as `EntityUris` has it.
        writable: Whether requests may add entities to the linker's folder, and remove some; they need the token.
    """

    max_body_bytes: int = 10_000_000
    max_buffered_bytes: int = 128_000_000
    max_values: int = 100_000
    max_pixels: int = 40_000_000
    max_decoding_bytes: int = 2_000_000_000
    max_batch: int = 64
    max_mentions: int = 500
    max_entities: int = 1000
    max_top_k: int = 100
    batch_size: int = 32
    batch_wait_ms: float = 0
    queue_size: int = 256
    timeout_s: float = 30
    body_timeout_s: float = 10
    max_connections: int = 1000
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] | None = None
    root_path: str = ""
    evidence: HowMuch = "full"
    access_log: Kind = "none"
    uri_prefix: str = ""
    writable: bool = False

    def __post_init__(self) -> None:
        whole = {each.name for each in fields(self) if each.type == "int"}
        for name, value in self.limits.items():
            least = 0.0 if name == "batch_wait_ms" else 1.0 if name in whole else 0.001
            if not math.isfinite(value) or value < least:
                raise ConfigError(
                    f"a {name} of at least {least:g}",
                    str(value),
                    "Raise it." if value < least else "Give a finite number.",
                )
        for small, large in (
            ("max_body_bytes", "max_buffered_bytes"),
            ("max_batch", "queue_size"),
        ):
            if getattr(self, small) > getattr(self, large):
                raise ConfigError(
                    f"a {large} of at least {small} ({getattr(self, small):,})",
                    f"{getattr(self, large):,}",
                    f"Raise {large}, or lower {small}.",
                )
        if self.max_decoding_bytes < self.least_decoding_bytes:
            raise ConfigError(
                f"a max_decoding_bytes of at least {self.least_decoding_bytes:,}, for one image of max_pixels",
                f"{self.max_decoding_bytes:,}",
                "Raise max_decoding_bytes, or lower max_pixels or max_body_bytes.",
            )
        if self.token is not None and (not self.token or not self.token.isascii() or not self.token.isprintable()):
            raise ConfigError("a token of ASCII characters", "one that is empty or has others", "Choose another token.")
        if self.writable and self.token is None:
            remedy = "Set DIM_TOKEN, or give a --token: who has it may change the KB."
            raise ConfigError("a token beside writable", "none", remedy)
        if not _ROOT.fullmatch(self.root_path):
            remedy = "Give the path alone, of letters, digits and - . _ ~, with a / before each part."
            raise ConfigError("a root_path such as /mel, or none", self.root_path, remedy)
        EntityUris(self.uri_prefix)
        check_choice("evidence", self.evidence, get_args(HowMuch))
        check_choice("access_log", self.access_log, get_args(Kind))

    @property
    def limits(self) -> dict[str, int | float]:
        """The settings that are numbers, by name."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.type in ("int", "float")}

    @property
    def least_decoding_bytes(self) -> int:
        """What the largest upload may take, whatever its format."""
        from dim.images.decoding_cost import FIXED_BYTES, MOST_BYTES  # and Pillow: `dim serve --help` has no images

        return FIXED_BYTES + 2 * self.max_body_bytes + MOST_BYTES * self.max_pixels


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server at that address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
