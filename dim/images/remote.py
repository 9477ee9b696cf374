"""One image from a URL: over http or https, of bounded size and time, from no address of one's own network.

A dataset names what is fetched, and a stranger may have made the dataset. So each address that a host name leads to is
checked, the connection goes to an address that was checked, and redirects are checked alike. Proxies are not used.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import PurePosixPath
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from dim.core.files import content_hash
from dim.core.retry_after import retry_after

FETCHED = "fetched"  #: The folder of an image folder that holds what was fetched.
_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".avif")
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_SAFE = "/%:@!$&'()*+,;=~?-._"  # what a path may hold as it stands; the rest is written out
_PART = 1 << 16
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Limits:
    """What one image may take.

    Attributes:
        timeout_s: For each request, from the connection to the last byte.
        max_bytes: Of an image.
        max_redirects: From one URL.
        own_network: Whether hosts of this machine's network, and this machine itself, may be asked.
        user_agent: What is said to the hosts.
    """

    timeout_s: float = 30.0
    max_bytes: int = 50 << 20
    max_redirects: int = 5
    own_network: bool = False
    user_agent: str = "dim-linker"


class FetchError(Exception):
    """There is no image to have.

    Attributes:
        reason: Why, in a few words.
        may_pass: Whether it may be there later.
        is_silent: Whether the host gave no answer at all.
        wait_s: Seconds that the host asks to wait, or None.
    """

    def __init__(
        self, reason: str, may_pass: bool = False, is_silent: bool = False, wait_s: float | None = None
    ) -> None:
        self.reason, self.may_pass, self.is_silent, self.wait_s = reason, may_pass, is_silent, wait_s
        super().__init__(reason)


def fetched_path(url: str) -> str:
    """Where the image of a URL stands in the image folder.

    Example:
        >>> fetched_path("https://example.org/Ada.JPG?width=300")
        'fetched/2faee4df13bdff9f.jpg'
    """
    ending = PurePosixPath(unquote(urlsplit(url).path)).suffix.lower()
    return f"{FETCHED}/{content_hash(url)}{ending if ending in _ENDINGS else ''}"


def host_of(url: str) -> str:
    """The host that a URL names, in lower case; empty where it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def fetch(url: str, limits: Limits) -> bytes:
    """The bytes that a URL leads to.

    Raises:
        FetchError: There are none to have within the limits.
    """
    for _ in range(limits.max_redirects + 1):
        found = _request(url, limits)
        if isinstance(found, bytes):
            return found
        url = urljoin(url, found)
    raise FetchError(f"more than {limits.max_redirects} redirects")


def is_public(address: str) -> bool:
    """Whether an IP address stands in the public network, also inside another one.

    Example:
        >>> [is_public(each) for each in ("93.184.215.14", "192.168.1.1", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1")]
        [True, False, False, False, False]
    """
    found = ip_address(address.partition("%")[0])
    return all(each.is_global and not each.is_multicast for each in (found, *_inside(found)))


def _inside(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in found if each is not None]


def _request(url: str, limits: Limits) -> bytes | str:
    """The bytes at a URL, or the URL that it sends on to."""
    parts, host, port = _parts(url)
    with closing(_connected(host, port, limits, parts.scheme == "https")) as connected:
        over = threading.Event()

        def end() -> None:
            over.set()
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)  # that of TLS would first take away what is read

        timer = threading.Timer(limits.timeout_s, end)  # a timeout of the socket starts anew with each byte
        timer.daemon = True
        timer.start()
        try:
            found = _answer(connected, parts, host, port, limits)
            if over.is_set():  # what was cut off so looks like an answer of unknown length
                raise TimeoutError
            return found
        except (OSError, http.client.HTTPException, ValueError) as error:
            if over.is_set() or isinstance(error, TimeoutError):
                raise FetchError(f"no whole answer in {limits.timeout_s:g} s", may_pass=True) from error
            if isinstance(error, ssl.SSLError):
                raise FetchError("no secure connection") from error
            raise FetchError("the connection broke off", may_pass=True) from error
        finally:
            timer.cancel()


def _parts(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:  # a UnicodeError is one
        raise FetchError("no URL") from error
    if parts.scheme not in ("http", "https"):
        raise FetchError(f"neither http nor https: {parts.scheme[:20]}")
    if not host:
        raise FetchError("no URL")
    if parts.username is not None or parts.password is not None:
        raise FetchError("a user name or password in the URL")
    return parts, host, port


def _connected(host: str, port: int, limits: Limits, secure: bool) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError("its host is not known", may_pass=True, is_silent=True) from error
    if not limits.own_network and not all(is_public(str(address[0])) for *_, address in found):
        raise FetchError("its host is in your own network (--own_network true asks it)")
    for family, kind, protocol, _, address in found:
        plain = socket.socket(family, kind, protocol)
        plain.settimeout(limits.timeout_s)
        try:
            plain.connect(address)
        except OSError:
            plain.close()
        else:
            if not secure:
                return plain
            context = ssl.create_default_context()
            return context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    raise FetchError("its host does not answer", may_pass=True, is_silent=True)


def _answer(connected: socket.socket, parts: SplitResult, host: str, port: int, limits: Limits) -> bytes | str:
    connection = http.client.HTTPConnection(host, port)
    connection.default_port = 443 if parts.scheme == "https" else 80  # it is named in the request where it differs
    connection.sock = connected
    if isinstance(connected, ssl.SSLSocket):
        connected.do_handshake()
    target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    with closing(connection):
        headers = {"User-Agent": limits.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"}
        connection.request("GET", target, headers=headers | {"Connection": "close"})
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        if response.status in _REDIRECTS and told.get("location"):
            return told["location"]
        if response.status != 200:
            passing = response.status in _PASSING
            wait = retry_after(told) if passing else None
            raise FetchError(f"HTTP {response.status}", may_pass=passing, wait_s=wait)
        return _body(response, told, limits)


def _body(response: http.client.HTTPResponse, told: Mapping[str, str], limits: Limits) -> bytes:
    if told.get("content-encoding", "identity").lower() != "identity":
        raise FetchError("packed, which was not asked for")
    length = response.length  # None: the host does not say
    parts, size = list[bytes](), 0
    while size <= limits.max_bytes and (length is None or length <= limits.max_bytes):
        part = response.read(_PART)
        if not part:
            if length is not None and size < length:
                raise FetchError("cut off", may_pass=True)
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise FetchError(f"larger than {limits.max_bytes / 2**20:g} MiB")
