"""Requests to an S3 server, signed as AWS Signature Version 4 asks: what tests need to look into a bucket, and no library for it."""

import hashlib
import hmac
import http.client
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import parse_qsl, quote, urlsplit
from xml.etree import ElementTree

REGION = "us-east-1"
UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True)
class Credentials:
    key: str
    secret: str

    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": REGION}

    def sign(self, method: str, target: str, headers: dict[str, str]) -> dict[str, str]:
        """The headers (lower-case names, `host` among them) with a new `authorization` that covers all of them."""
        headers = {name: value for name, value in headers.items() if name != "authorization"}
        headers.setdefault("x-amz-date", datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ"))
        headers.setdefault("x-amz-content-sha256", UNSIGNED)
        day = headers["x-amz-date"][:8]
        signed = sorted(name for name in headers if name not in ("content-length", "user-agent", "connection", "accept-encoding"))
        address = urlsplit(target)
        query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(parse_qsl(address.query, keep_blank_values=True)))
        lines = [method, address.path, query, *(f"{name}:{' '.join(headers[name].split())}" for name in signed), "", ";".join(signed), headers["x-amz-content-sha256"]]
        scope = f"{day}/{REGION}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for part in (day, REGION, "s3", "aws4_request", text):
            key = hmac.digest(key, part.encode(), "sha256")
        return headers | {"authorization": f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={';'.join(signed)}, Signature={key.hex()}"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Bucket:
    """A bucket of the server that listens on a port of 127.0.0.1."""

    def __init__(self, port: int, name: str, credentials: Credentials):
        self.port, self.name, self.credentials = port, name, credentials

    def ask(self, method: str, key: str = "", body: bytes = b"", query: str = "", **headers: str) -> Answer:
        """One request; headers are written as `if_none_match="*"`."""
        target = f"/{self.name}" + (f"/{quote(key)}" if key else "") + (f"?{query}" if query else "")
        plain = {name.replace("_", "-"): value for name, value in headers.items()} | {"host": f"127.0.0.1:{self.port}"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body, self.credentials.sign(method, target, plain))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def put(self, key: str, body: bytes) -> None:
        answer = self.ask("PUT", key, body)
        assert answer.status == 200, answer

    def get(self, key: str) -> bytes:
        answer = self.ask("GET", key)
        assert answer.status == 200, answer
        return answer.body

    def keys(self, prefix: str = "") -> list[str]:
        found, token = [], ""
        while True:
            more = f"&continuation-token={quote(token, safe='')}" if token else ""
            answer = self.ask("GET", query=f"list-type=2{more}&prefix={quote(prefix, safe='')}")
            assert answer.status == 200, answer
            listing = ElementTree.fromstring(answer.body)
            found += [one.text for one in listing.findall("{*}Contents/{*}Key")]
            token = listing.findtext("{*}NextContinuationToken") or ""
            if not token:
                return found

    def uploads(self, prefix: str = "") -> list[str]:
        """The keys of multipart uploads that were neither completed nor aborted."""
        answer = self.ask("GET", query=f"prefix={quote(prefix, safe='')}&uploads=")
        assert answer.status == 200, answer
        return [one.text for one in ElementTree.fromstring(answer.body).findall("{*}Upload/{*}Key")]
