"""HTTP through the granted `wasi:http`. The driver's spec must request the addresses.

    api = http.session("https://api.example.com/v1", bearer=osiris.secret("/token"), requests_per_second=5)
    for page in api.pages_by_link("items", params={"per_page": 100}):
        output.write("main", page.json())

A response with an error status is raised as the error of its kind (401 `AuthError`, 404 `NotFoundError`, 429
`RateLimitedError`, 5xx `TransientError`, …). What may be temporary is retried first, as the server asks in
`Retry-After` or else with growing waits. Every response is verified to be complete, and its size is bounded.
`osiris_sdk.requests` makes the library `requests` work the same way.
"""

from __future__ import annotations

from typing import Any

from .oauth import OAuth2
from .pages import link
from .response import Response
from .retry import Retry
from .session import Session


def session(base_url: str = "", **options: Any) -> Session:
    """A session, which has everything that its requests share; see `Session` for the options."""
    return Session(base_url, **options)


def get(url: str, **options: Any) -> Response:
    """A GET with a new session; use a `session` for several requests."""
    return Session().get(url, **options)


def post(url: str, **options: Any) -> Response:
    """A POST with a new session."""
    return Session().post(url, **options)


def oauth2(token_url: str, client_id: str, client_secret: str, **options: Any) -> OAuth2:
    """OAuth 2.0 client credentials for `session(auth=...)`; see `OAuth2` for the options."""
    return OAuth2(token_url, client_id, client_secret, **options)


__all__ = ["OAuth2", "Response", "Retry", "Session", "get", "link", "oauth2", "post", "session"]
