"""Proxies between a driver and its server, or a host and its worker, for tests that break connections or delay them."""

import queue
import socket
import threading
import time


class CutProxy:
    """A TCP proxy to 127.0.0.1:`target` that cuts a connection after a number of bytes, `down` from the server or `up` to it.

    With `stall`, bytes stop without the connection ending; `once` cuts the first connection only; `then` is called when
    a connection is cut. `lift()` lets later connections pass untouched. `passed` has the bytes of each connection.
    """

    def __init__(self, target: int, down: int | None = None, up: int | None = None, stall: bool = False, once: bool = False, then=None):
        self.target, self.limits, self.stall, self.once, self.then = target, {"down": down, "up": up}, stall, once, then
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.cuts = 0
        self.passed: list[dict[str, int]] = []
        self.sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "CutProxy":
        return self

    def __exit__(self, *_) -> None:
        # Closing alone would not wake the thread that waits for a connection.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for one in self.sockets:
            one.close()

    def lift(self) -> None:
        self.limits = {"down": None, "up": None}

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            limits = dict(self.limits)
            if self.once:
                self.lift()
            passed = {"down": 0, "up": 0}
            self.passed.append(passed)
            self.sockets += [client, server]
            for source, sink, way in [(server, client, "down"), (client, server, "up")]:
                threading.Thread(target=self._pass, args=(source, sink, way, limits[way], passed), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, way: str, limit: int | None, passed: dict[str, int]) -> None:
        try:
            while chunk := source.recv(65536):
                left = len(chunk) if limit is None else limit - passed[way]
                sink.sendall(chunk[:left])
                passed[way] += len(chunk[:left])
                if limit is not None and len(chunk) >= left:
                    self.cuts += 1
                    if self.then:
                        self.then()
                    if self.stall:
                        return
                    break
        except OSError:
            pass
        # Closed, not only shut down: a peer that is still sending must get an error, or it would wait for buffer space
        # forever.
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


class DelayProxy(CutProxy):
    """A TCP proxy to 127.0.0.1:`target` that passes everything on `delay` seconds later, in both directions."""

    def __init__(self, target: int, delay: float):
        self.delay = delay
        super().__init__(target)

    def _pass(self, source: socket.socket, sink: socket.socket, *_) -> None:
        waiting = queue.Queue()
        threading.Thread(target=self._deliver, args=(waiting, sink), daemon=True).start()
        chunk = b"first"
        while chunk:
            try:
                chunk = source.recv(65536)
            except OSError:
                chunk = b""
            waiting.put((time.monotonic() + self.delay, chunk))

    def _deliver(self, waiting: queue.Queue, sink: socket.socket) -> None:
        while True:
            due, chunk = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not chunk:
                    return sink.shutdown(socket.SHUT_WR)
                sink.sendall(chunk)
            except OSError:
                return
