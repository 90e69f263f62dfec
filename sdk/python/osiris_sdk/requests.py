"""Lets the library `requests` work through the granted HTTP.

    from osiris_sdk.requests import session

    api = session()
    api.get("https://api.example.com/items").json()

The driver's project must have `requests` among its dependencies; the SDK does not.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  # requests asks for it at run time, when a component can import nothing more
import io
from typing import Any

import requests  # type: ignore[import-untyped]
from requests.adapters import BaseAdapter  # type: ignore[import-untyped]
from urllib3 import HTTPResponse  # type: ignore[import-untyped]

from .http.retry import Retry
from .http.session import Session

# Headers that the transport makes itself.
_TRANSPORT = ("connection", "content-length", "transfer-encoding", "host", "accept-encoding")


class Adapter(BaseAdapter):  # type: ignore[misc]
    """Carries the requests of a `requests.Session`. The options are those of `osiris_sdk.http.Session`."""

    def __init__(self, **options: Any):
        super().__init__()
        self._through = Session(**options, redirects=0)

    def send(self, request: Any, *_: Any, **__: Any) -> Any:
        body = request.body
        if body is not None and not isinstance(body, (bytes, str)):
            body = body.read() if hasattr(body, "read") else b"".join(body)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _TRANSPORT}
        answer = self._through.request(request.method, request.url, headers=headers, body=body, raises=False)
        # The body is decompressed already.
        received = {
            name: value for name, value in answer.headers.items() if name not in ("content-encoding", "content-length")
        }
        raw = HTTPResponse(
            body=io.BytesIO(answer.content), headers=received, status=answer.status, preload_content=False
        )
        response = requests.Response()
        response.status_code, response.url, response.request, response.raw = answer.status, request.url, request, raw
        response.headers.update(received)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        response.connection = self  # type: ignore[assignment]
        return response

    def close(self) -> None:
        """Nothing is open between requests."""


def session(*, retry: Retry | None = None, **options: Any) -> Any:
    """A `requests.Session` whose requests go through the granted HTTP.

    What may be temporary is retried as in `osiris_sdk.http.Session`, whose options for times, sizes and the rate limit
    this takes; every final status is returned, as usual with `requests`.
    """
    through = requests.Session()
    for scheme in ("http://", "https://"):
        through.mount(scheme, Adapter(retry=retry, **options))  # type: ignore[arg-type,unused-ignore]
    return through
