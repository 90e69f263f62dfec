"""A web server for tests on a free port of 127.0.0.1, with TLS or without, whose routes are Python functions.

    def test_it(project, web):
        web.route("/items", lambda request: {"items": [1, 2]})          # JSON, or a Reply
        ... web.url ... web.requests ...

`Request` is the request, `Reply` the response; `Reply(stream=...)` writes bytes as it likes, so that a body may be
cut off, endless or slow. `tls_web(certificate)` gives a server with TLS; see `certificates.py`.

As fixtures: `from http_server import tls_web, web` in the test module.
"""

import gzip
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
from certificates import Certificate


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    number: int
    """How often this path was asked for, this time included."""

    @property
    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    json: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    stream: Callable[["Server"], Iterable[bytes]] | None = None
    """Parts of a body without length, sent one by one; the connection ends with the last."""
    close: bool = False
    """Ends the connection behind the answer without announcing it."""

    def content(self) -> bytes:
        return self.body if self.body is not None else json.dumps(self.json).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        with self.server.owner.lock:
            self.server.owner.connections += 1

    def answer(self):
        server: Server = self.server.owner
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        with server.lock:
            server.asked[address.path] += 1
            number = server.asked[address.path]
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, address.path, query, headers, body, number)
        server.requests.append(request)
        handler = server.routes.get(address.path)
        reply = handler(request) if handler else Reply({"message": "no such route"}, 404)
        reply = reply if isinstance(reply, Reply) else Reply(reply)
        self.close_connection = reply.close or reply.stream is not None
        try:
            self.send(reply, server)
        except OSError:
            pass  # The client has gone.

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

    def send(self, reply: Reply, server: "Server"):
        self.send_response(reply.status)
        headers = {"content-type": "application/json"} | {name.lower(): value for name, value in reply.headers.items()}
        content = b"" if reply.stream else reply.content()
        if not reply.stream and reply.status not in (204, 304):
            headers.setdefault("content-length", str(len(content)))
        headers = {name: value for name, value in headers.items() if value is not None}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        for part in reply.stream(server) if reply.stream else ():
            if server.closing.is_set():
                break
            self.wfile.write(part)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Threaded(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # Tests intend that clients refuse the certificate or go away.

    def finish_request(self, request, client_address):
        if self.owner.tls:
            # In the connection's own thread, so that a silent client blocks nobody else.
            request = self.owner.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)


class Server:
    def __init__(self, certificate: Certificate | None = None):
        self.routes: dict[str, Callable[[Request], object]] = {}
        self.requests: list[Request] = []
        self.asked: Counter = Counter()
        self.connections = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate.certificate, certificate.key)
        self.server = Threaded(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def route(self, path: str, handler: Callable[[Request], object]) -> str:
        """Registers the handler of `path`; returns its complete address."""
        self.routes[path] = handler
        return self.url + path

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def tls_web():
    """Creates servers with TLS that present a certificate."""
    servers: list[Server] = []

    def make(certificate: Certificate) -> Server:
        servers.append(Server(certificate))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def in_turn(*replies) -> Callable[[Request], object]:
    """Returns each response in turn, and then always the last."""
    return lambda request: replies[min(request.number, len(replies)) - 1]


def gzipped(content: bytes) -> Reply:
    return Reply(body=gzip.compress(content), headers={"content-encoding": "gzip"})


def gzip_bomb(mebibytes: int) -> Reply:
    """A few kilobytes that decompress to a list of that many MiB of blanks."""
    return gzipped(b"[" + b" " * (mebibytes << 20) + b"]")


def truncated(content: bytes, announced: int) -> Reply:
    """A body that ends before its announced length."""
    return Reply(body=content, headers={"content-length": str(announced)}, close=True)


def cut_chunks(content: bytes, headers: dict | None = None) -> Reply:
    """A chunked body whose last chunk never arrives."""

    def parts(_):
        yield b"%x\r\n" % len(content) + content + b"\r\n"

    return Reply(stream=parts, headers={"transfer-encoding": "chunked", **(headers or {})})


def no_content(status: int = 204, body: bytes = b"") -> Reply:
    return Reply(status=status, body=body, headers={"content-type": None} if not body else {})


def endless() -> Reply:
    def parts(server: Server):
        yield b"["
        while True:
            yield b'{"n": 1},' * 8192

    return Reply(stream=parts)


def silent(seconds: float) -> Reply:
    """A response head, and then nothing for a while."""

    def parts(server: Server):
        yield b"["
        server.closing.wait(seconds)
        yield b"]"

    return Reply(stream=parts)


def redirect(to: str, status: int = 302) -> Reply:
    return Reply({}, status, {"location": to})
