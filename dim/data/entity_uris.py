"""Which URI of the web of data is which entity of a KB."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from dim.errors import ConfigError

#: Characters of a URI beyond ASCII (RFC 3987, ucschar), of which none is a blank.
_BEYOND = "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef\U00010000-\U0001fffd\U00020000-\U0002fffd\U00030000-\U0003fffd"
_PART = rf"(?:(?!\s)[A-Za-z0-9_~:/?@!$&'()*+,;=.{_BEYOND}-]|%[0-9A-Fa-f]{{2}})"
URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:{_PART}+(?:#{_PART}*)?")
OWN = "urn:dim:"  #: Before ids that are no URIs, where nobody says what stands there.


class EntityUris:
    """Names of entities, by what stands before their ids, and by a table of those that are named otherwise.

    Args:
        prefix: Before an id, such as `http://www.wikidata.org/entity/`; empty: ids are URIs themselves.
        table: URI → id; it comes first.

    Raises:
        ConfigError: The prefix begins no URI.
    """

    def __init__(self, prefix: str = "", table: Mapping[str, str] | None = None) -> None:
        if prefix and not URI.fullmatch(prefix):
            remedy = "Give what stands before an entity's id: http://www.wikidata.org/entity/ before Q42."
            raise ConfigError("a uri_prefix that begins a URI", prefix, remedy)
        self.prefix = prefix
        told = list((table or {}).items())
        self._ids = {_one_form(uri): entity_id for uri, entity_id in told}
        self._uris = {entity_id: uri for uri, entity_id in reversed(told)}  # of several the first

    def id_of(self, uri: str) -> str | None:
        """The id that a URI names, whether or not the KB has it; None: it names nothing here.

        Example:
            >>> EntityUris("http://www.wikidata.org/entity/").id_of("https://www.wikidata.org/entity/Q42")
            'Q42'
        """
        asked, prefix = _one_form(uri), _one_form(self.prefix)
        if (found := self._ids.get(asked)) is not None:
            return found
        if prefix:
            return asked.removeprefix(prefix) if asked.startswith(prefix) and asked != prefix else None
        return unquote(uri.removeprefix(OWN)) if uri.startswith(OWN) else uri

    def uri_of(self, entity_id: str) -> str:
        """The URI of an entity.

        Example:
            >>> EntityUris("http://kb/").uri_of("Q 1"), EntityUris().uri_of("http://kb/1"), EntityUris().uri_of("Q1")
            ('http://kb/Q%201', 'http://kb/1', 'urn:dim:Q1')
        """
        if (found := self._uris.get(entity_id)) is not None:
            return found
        if not self.prefix and URI.fullmatch(entity_id):
            return entity_id
        return (self.prefix or OWN) + quote(entity_id, safe="")


def ids_of(uris: Iterable[str], named: EntityUris) -> tuple[str, ...]:
    """The ids that some URIs name."""
    found = (named.id_of(uri) for uri in uris)
    return tuple(dict.fromkeys(each for each in found if each is not None))


def _one_form(uri: str) -> str:
    """A URI by which those that mean the same are found: datasets write http or https, and escape as they like."""
    is_https = uri.startswith("https:")
    return unquote(f"http:{uri.removeprefix('https:')}" if is_https else uri)
