"""A response that has been read completely, and the headers of requests and responses."""

from __future__ import annotations

# A component can only use the codecs that were imported when it was built.
import encodings.ascii  # noqa: F401
import encodings.cp1250  # noqa: F401
import encodings.cp1252  # noqa: F401
import encodings.iso8859_2  # noqa: F401
import encodings.iso8859_15  # noqa: F401
import encodings.latin_1  # noqa: F401
import encodings.shift_jis  # noqa: F401
import encodings.utf_8_sig  # noqa: F401
import encodings.utf_16  # noqa: F401
import encodings.utf_16_be  # noqa: F401
import encodings.utf_16_le  # noqa: F401
import zlib
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from .._json_rows import parse
from ..errors import DataError, Error
from .pages import link
from .status import excerpt, status_error


class Headers(MutableMapping[str, str]):
    """Headers by name in any case. Several values of one name are joined by commas, which HTTP defines as the same."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()):
        self._values: dict[str, str] = {}
        for name, value in pairs:
            known = self._values.get(name.lower())
            self._values[name.lower()] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __setitem__(self, name: str, value: str) -> None:
        self._values[name.lower()] = value

    def __delitem__(self, name: str) -> None:
        del self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return f"Headers({sorted(self._values)})"


class Response:
    """A response, whose status is a success unless the request accepted others."""

    def __init__(self, asked: str, url: str, status: int, headers: Headers, content: bytes):
        self.asked = asked
        """Method and address without anything secret, for messages."""
        self.url = url
        """The address of the response, after redirects."""
        self.status = status
        self.headers = headers
        self.content = content

    @property
    def text(self) -> str:
        """The body as text, in the charset of its content type or else in UTF-8."""
        charset = "utf-8"
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = value.strip().strip('"')
        try:
            return self.content.removeprefix(b"\xef\xbb\xbf").decode(charset)
        except (UnicodeDecodeError, LookupError) as error:
            raise DataError(f"cannot read the response to `{self.asked}` as text: {error}") from None

    def json(self, exact: bool = True) -> Any:
        """The body as JSON. A number that a `float` would round is a `Decimal`, so that no digit is lost on its way to
        a table; with `exact=False` it is rounded."""
        try:
            return parse(self.text, exact)
        except ValueError as error:
            quoted = excerpt(self.content)
            begins = f"it begins with: {quoted}" if quoted else "it is empty"
            raise DataError(f"the response to `{self.asked}` is not JSON ({error}); {begins}") from None

    def link(self, relation: str = "next") -> str | None:
        """The address that the `Link` header gives for `relation`."""
        return link(self.headers.get("link", ""), relation)

    def as_error(self, status: int | None = None) -> Error:
        """This response as an error, as if its status were `status`: for a server that hides one in a body."""
        return status_error(self.asked, self.status if status is None else status, self.headers, self.content)

    def __repr__(self) -> str:
        return f"<Response {self.status} to `{self.asked}`>"


def decompressed(content: bytes, encoding: str, max_bytes: int) -> bytes:
    """The content without its `Content-Encoding`.

    # Errors
    `ValueError` if it is damaged, incomplete, larger than `max_bytes`, or in an encoding that is not supported.
    """
    for name in reversed([part.strip().lower() for part in encoding.split(",") if part.strip()]):
        if name == "identity" or not content:
            continue
        if name in ("gzip", "x-gzip"):
            content = _inflated(content, 31, max_bytes)
        elif name == "deflate":
            has_header = content[0] & 0x0F == 8 and int.from_bytes(content[:2], "big") % 31 == 0
            content = _inflated(content, 15 if has_header else -15, max_bytes)
        else:
            raise ValueError(f"its encoding `{name}` is not supported")
    return content


def _inflated(content: bytes, window: int, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = max_bytes
    while content:
        inflate = zlib.decompressobj(window)
        try:
            part = inflate.decompress(content, left + 1)
        except zlib.error as error:
            raise ValueError(f"its compression is damaged: {error}") from None
        if len(part) > left:
            raise ValueError(f"it is larger than the {max_bytes} bytes that it may be")
        if not inflate.eof:
            raise ValueError("its compressed body ends before it is complete")
        parts.append(part)
        left -= len(part)
        content = inflate.unused_data
    return b"".join(parts)
