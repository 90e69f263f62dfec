"""Helpers for paging: the `Link` header, and a guard against a server that goes in circles."""

from __future__ import annotations

import hashlib

from ..errors import ConfigError, DataError


def link(header: str, relation: str = "next") -> str | None:
    """The address that a `Link` header (RFC 8288) gives for `relation`. A link with an `anchor` is about another
    document, so it is skipped."""
    rest = header
    while (start := rest.find("<")) >= 0:
        end = rest.find(">", start)
        if end < 0:
            return None
        target, behind = rest[start + 1 : end].strip(), rest[end + 1 :]
        length = _unquoted(behind, ",")
        parameters, relations, anchored = behind[:length], None, False
        while parameters:
            cut = _unquoted(parameters, ";")
            parameter, parameters = parameters[:cut], parameters[cut + 1 :]
            name, _, value = parameter.partition("=")
            name = name.strip().lower()
            anchored = anchored or name == "anchor"
            if name == "rel" and relations is None:
                relations = value.strip().strip("\"'").lower().split()
        if not anchored and relation.lower() in (relations or ()):
            return target
        rest = behind[length:]
    return None


def _unquoted(text: str, letter: str) -> int:
    """The position of the first `letter` outside quotes, or the end."""
    quoted = escaped = False
    for at, found in enumerate(text):
        if escaped:
            escaped = False
        elif found == "\\" and quoted:
            escaped = True
        elif found == '"':
            quoted = not quoted
        elif found == letter and not quoted:
            return at
    return len(text)


class PageGuard:
    """Counts pages, and detects a server that returns a page twice."""

    def __init__(self, max_pages: int):
        self._max_pages = max_pages
        self._pages = 0
        self._asked: set[str] = set()
        self._last: bytes | None = None

    def ask(self, page: str) -> None:
        """Call this before a page is requested, with everything that distinguishes it from the others."""
        if self._pages == self._max_pages:
            raise ConfigError(f"there are more than {self._max_pages} pages; raise `max_pages` to read them all")
        if page in self._asked:
            raise DataError(
                f"the server goes in circles: after page {self._pages} it names a page that was read already"
            )
        self._asked.add(page)
        self._pages += 1

    def got(self, content: bytes) -> None:
        """Call this with the content of each page that has records."""
        digest = hashlib.sha256(content).digest()
        if digest == self._last:
            raise DataError(
                f"the server gave the same page twice, as page {self._pages - 1} and page {self._pages}: it ignores which page "
                "is requested"
            )
        self._last = digest
