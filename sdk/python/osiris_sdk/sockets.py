"""TCP connections, to each `host:port` that the step was granted. The driver's spec must request `connect`.

`connect` gives a socket. `install` puts it in place of `socket.create_connection` and of `ssl`, so that pure-Python
clients (of databases, mail servers, message brokers) work unchanged.
"""

from __future__ import annotations

import io
import socket
import sys
import types
from typing import Any

from . import _contract as contract
from .errors import Error, InternalError, TimeoutError, raises_host_errors

# The most that the host returns from one read.
_READ = 1 << 20
_DEFAULT_TIMEOUT = 60.0


class Socket:
    """An open connection with the methods of `socket.socket` that clients use. Its errors are those of this package,
    which are `OSError`s as well."""

    def __init__(self, raw: Any, host: str, port: int, timeout: float | None):
        self._raw: Any = raw
        self._peer = (host, port)
        self._timeout = timeout
        self._readers = 0
        self._closing = False

    def settimeout(self, seconds: float | None) -> None:
        """How long a read or a write may wait; `None` means a minute."""
        self._timeout = seconds
        self._open().set_timeout(_milliseconds(seconds))

    def gettimeout(self) -> float | None:
        return self._timeout

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The bytes that have arrived, at least one; none once the server has ended the stream."""
        return _call(self._open().read, min(size, _READ))

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        view = memoryview(buffer).cast("B")
        part = self.recv(size or len(view))
        view[: len(part)] = part
        return len(part)

    def sendall(self, data: Any, flags: int = 0) -> None:
        _call(self._open().write, bytes(data))

    def send(self, data: Any, flags: int = 0) -> int:
        self.sendall(data)
        return len(data)

    def start_tls(self, server_name: str | None = None, *, verify: bool = True, ca: str | None = None) -> None:
        """Encrypts the connection from here on. `ca` are trusted roots as PEM, instead of the machine's own."""
        kind = contract.tcp.Verify.FULL if verify else contract.tcp.Verify.NONE
        _call(self._open().start_tls, contract.tcp.TlsOptions(kind, server_name, ca))

    def server_end_point(self) -> bytes | None:
        """The digest of the server's certificate (`tls-server-end-point`, RFC 5929); `None` without TLS."""
        return self._open().server_end_point()

    def makefile(self, mode: str = "r", buffering: int | None = None, **options: Any) -> Any:
        """A file object over this connection, as of `socket.socket`."""
        raw = _SocketFile(self)
        self._readers += 1
        if buffering == 0:
            return raw
        size = buffering if buffering and buffering > 0 else io.DEFAULT_BUFFER_SIZE
        if "w" in mode and "r" in mode:
            buffered: Any = io.BufferedRWPair(raw, raw, size)
        else:
            buffered = io.BufferedWriter(raw, size) if "w" in mode else io.BufferedReader(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, **options)

    def getpeername(self) -> tuple[str, int]:
        return self._peer

    def setsockopt(self, *_: Any) -> None:
        """Does nothing: the host decides the options of the connection."""

    def shutdown(self, how: int) -> None:
        """Does nothing: the connection ends when it is closed."""

    def close(self) -> None:
        self._closing = True
        if self._raw is not None and self._readers == 0:
            self._raw.__exit__(None, None, None)
            self._raw = None

    def _file_closed(self) -> None:
        self._readers -= 1
        if self._closing:
            self.close()

    def fileno(self) -> int:
        return -1

    def _open(self) -> Any:
        if self._raw is None:
            raise OSError("the connection is closed")
        return self._raw

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _SocketFile(io.RawIOBase):
    def __init__(self, through: Socket):
        super().__init__()
        self._through = through

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._through.recv_into(buffer)

    def write(self, data: Any) -> int:
        return self._through.send(bytes(data))

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._through._file_closed()


def _milliseconds(seconds: float | None) -> int:
    return max(1, round((_DEFAULT_TIMEOUT if seconds is None else seconds) * 1000))


class _SocketError(OSError):
    """Mixed into this package's errors, because clients expect an `OSError` from a socket."""


class _SocketTimeout(_SocketError, socket.timeout):
    pass


def _call(function: Any, *arguments: Any) -> Any:
    """Calls the host; its error is raised as what it is and as an `OSError`."""
    try:
        return raises_host_errors(function)(*arguments)
    except Error as error:
        base = _SocketTimeout if isinstance(error, TimeoutError) else _SocketError
        both = type(type(error).__name__, (type(error), base), {})
        raise both(error.message, code=error.code, retry_after=error.retry_after) from None


def connect(host: str, port: int, timeout: float | None = None) -> Socket:
    """Connects; `host` and `port` must be written as in the grant."""
    if contract.tcp is None:
        raise InternalError("the driver uses TCP, but was built without it; add `connect` to the grants in its spec")
    raw = _call(contract.tcp.connect, host, int(port), _milliseconds(timeout))
    opened = Socket(raw, host, int(port), timeout)
    if timeout is not None:
        opened.settimeout(timeout)
    return opened


def create_connection(address: tuple[str, int], timeout: Any = None, *_: Any, **__: Any) -> Socket:
    """As `socket.create_connection`."""
    seconds = timeout if isinstance(timeout, (int, float)) else None
    return connect(address[0], address[1], seconds)


class SSLContext:
    """Stands in for `ssl.SSLContext`: the host verifies certificates, and chooses versions and ciphers."""

    def __init__(self, *_: Any):
        self.check_hostname = True
        self.verify_mode = 2
        # Clients set these; the host decides about both.
        self.verify_flags = 0
        self.options = 0
        self._ca: str | None = None

    def load_verify_locations(
        self, cafile: str | None = None, capath: str | None = None, cadata: str | None = None
    ) -> None:
        """Trusts the roots in `cadata` (PEM) instead of the machine's own. A component has no files to read them from."""
        if cadata is None:
            raise ValueError("pass the roots as `cadata`: a driver cannot read them from a file")
        self._ca = cadata

    def load_default_certs(self, *_: Any) -> None:
        """Does nothing: the machine's roots are trusted unless others are loaded."""

    def load_cert_chain(self, *_: Any, **__: Any) -> None:
        raise ValueError("a driver cannot log in by a certificate")

    def wrap_socket(
        self, sock: Socket, server_side: bool = False, server_hostname: str | None = None, **_: Any
    ) -> Socket:
        sock.start_tls(server_hostname, verify=bool(self.verify_mode), ca=self._ca)
        return sock

    def set_ciphers(self, *_: Any) -> None:
        """Does nothing: the host chooses."""

    def set_alpn_protocols(self, *_: Any) -> None:
        """Does nothing: the host chooses."""


def create_default_context(
    purpose: Any = None, *, cafile: str | None = None, capath: str | None = None, cadata: str | None = None
) -> SSLContext:
    """As `ssl.create_default_context`."""
    context = SSLContext()
    if cafile or capath or cadata:
        context.load_verify_locations(cafile, capath, cadata)
    return context


_SSL = {
    "SSLContext": SSLContext, "create_default_context": create_default_context,
    "SSLError": type("SSLError", (OSError,), {}),
    "CERT_NONE": 0, "CERT_OPTIONAL": 1, "CERT_REQUIRED": 2, "PROTOCOL_TLS": 2, "PROTOCOL_TLS_CLIENT": 16,
    "VERIFY_DEFAULT": 0, "VERIFY_X509_STRICT": 0x20, "VERIFY_X509_PARTIAL_CHAIN": 0x80000,
    "OP_NO_SSLv2": 0, "OP_NO_SSLv3": 0, "OP_NO_COMPRESSION": 0, "HAS_SNI": True,
}  # fmt: skip


def install() -> None:
    """Makes pure-Python clients use granted connections: replaces `socket.create_connection`, and `ssl` where the
    component has none. Call it at the top of the driver's module, before the client is imported."""
    socket.create_connection = create_connection  # type: ignore[assignment]
    if not hasattr(socket, "TCP_NODELAY"):
        socket.TCP_NODELAY = 1  # type: ignore[misc]
    if contract.IN_COMPONENT and "ssl" not in sys.modules:
        stub = types.ModuleType("ssl")
        vars(stub).update(_SSL)
        sys.modules["ssl"] = stub
