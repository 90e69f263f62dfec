"""OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from ..errors import AuthError, ConfigError, DataError

if TYPE_CHECKING:
    from .session import Session

# A token is renewed this many seconds before it ends.
_MARGIN = 60


class OAuth2:
    """Gets an access token, and a new one before it ends or when the server refuses it.

    `scope` is the scope to ask for. With `in_body`, the client's id and secret are sent as fields of the form, which
    some servers want, instead of as HTTP Basic. `more` are further fields, such as `{"audience": "..."}`.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | None = None,
        in_body: bool = False,
        more: Mapping[str, str] | None = None,
    ):
        self._token_url, self._id, self._secret = token_url, client_id, client_secret
        self._scope, self._in_body, self._more = scope, in_body, dict(more or {})
        self._token: str | None = None
        self._ends = float("inf")

    def header(self, session: Session) -> str:
        if self._token is None or time.monotonic() >= self._ends:
            self._renew(session)
        return f"Bearer {self._token}"

    def refused(self) -> bool:
        had, self._token = self._token, None
        return had is not None

    def _renew(self, session: Session) -> None:
        from .session import Session as NewSession

        client = NewSession(timeout=session.timeout, connect_timeout=session.connect_timeout, retry=session.retry)
        form: dict[str, Any] = {"grant_type": "client_credentials", "scope": self._scope, **self._more}
        headers = {"accept": "application/json"}
        if self._in_body:
            form |= {"client_id": self._id, "client_secret": self._secret}
        else:
            pair = f"{quote_plus(self._id)}:{quote_plus(self._secret)}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        try:
            response = client.post(self._token_url, form=form, headers=headers, repeatable=True)
        except ConfigError as error:
            # RFC 6749, 5.2: a refused client is answered with 400.
            raise AuthError(error.message, code=error.code) from None
        answer = response.json()
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise DataError(f"the response to `{response.asked}` has no `access_token`")
        self._token = token
        lasts = answer.get("expires_in")
        seconds = (
            float(lasts) if isinstance(lasts, (int, float, str)) and str(lasts).replace(".", "", 1).isdigit() else None
        )
        self._ends = float("inf") if seconds is None else time.monotonic() + max(seconds - _MARGIN, seconds / 2)
