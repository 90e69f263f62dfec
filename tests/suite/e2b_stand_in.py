"""A stand-in for E2B: its REST API and envd, as E2B's own SDK speaks to them, on one port.

`StandIn(folder)` serves at `url`. A sandbox is a folder of this machine with a home folder in it; its processes really
run, with this machine's programs. What makes the real service hard to use is built in:
- A process survives the stream that started it, and is found again with `Connect`. `Connect-Timeout-Ms` kills it.
- Output arrives in pieces of 32 KiB at most, which cut lines and characters. Output that nobody listens to is lost.
- JSON leaves out what has its default value, such as an exit code of 0.
- A sandbox dies when its time is over, and its streams break off. A request to a dead sandbox gets a plain 502.
- `fail` makes requests fail as a busy service, its quota or a proxy does, and `break_streams` cuts streams.

Of a sandbox's `network` rules, deny-all is enforced, by an empty network namespace, where this machine lets `unshare` make
one. All other rules are only recorded: hosts that are allowed are not the only ones that can be reached.
"""

import base64
import gzip
import json
import os
import queue
import re
import shutil
import signal
import struct
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

KEY = "e2b_0123456789abcdef0123456789abcdef01234567"
PIECE = 32 << 10
CAN_UNSHARE = subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0
# How many messages a listener may be behind before the process has to wait.
BACKLOG = 16


class Process:
    """A process in a sandbox, and who listens to its output."""

    def __init__(self, sandbox, config: dict, wants_stdin: bool):
        self.config, self.listeners, self.lock, self.end = config, [], threading.Lock(), None
        command = [config["cmd"], *config.get("args", [])]
        if sandbox.denies_all and CAN_UNSHARE:
            command = ["unshare", "--net", *command]
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(sandbox.home), "USER": "user", **sandbox.envs, **config.get("envs", {})}
        self.child = subprocess.Popen(
            command, cwd=sandbox.home / config.get("cwd", ""), env=env, start_new_session=True,
            stdin=subprocess.PIPE if wants_stdin else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.pid = self.child.pid

    def begin(self):
        readers = [threading.Thread(target=self.read, args=one, daemon=True) for one in (("stdout", self.child.stdout), ("stderr", self.child.stderr))]
        [reader.start() for reader in readers]
        threading.Thread(target=self.wait, args=(readers,), daemon=True).start()

    def listen(self) -> queue.Queue:
        with self.lock:
            messages = queue.Queue(BACKLOG)
            messages.put({"start": {"pid": self.pid}})
            if self.end:
                messages.put(self.end)
            self.listeners.append(messages)
            return messages

    def leave(self, messages: queue.Queue):
        with self.lock:
            self.listeners = [other for other in self.listeners if other is not messages]

    def tell(self, message: dict):
        with self.lock:
            listeners = list(self.listeners)
        for messages in listeners:
            while messages in self.listeners:
                try:
                    messages.put(message, timeout=0.2)
                    break
                except queue.Full:
                    pass

    def read(self, name: str, pipe):
        while piece := os.read(pipe.fileno(), PIECE):
            self.tell({"data": {name: base64.b64encode(piece).decode()}})

    def wait(self, readers):
        code = self.child.wait()
        [reader.join() for reader in readers]
        end = {"exited": True, "status": f"exit status {code}"} if code >= 0 else {"status": f"signal: {signal.strsignal(-code).lower()}", "error": "the process was killed"}
        if code:
            end["exitCode"] = code if code > 0 else -1
        with self.lock:
            self.end = {"end": end}
        self.tell(self.end)

    def kill(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@dataclass
class Sandbox:
    request: dict
    folder: Path
    envs: dict
    id: str = field(default_factory=lambda: "i" + uuid.uuid4().hex[:19])
    token: str = field(default_factory=lambda: "token-" + uuid.uuid4().hex)
    processes: dict[int, Process] = field(default_factory=dict)
    extended: int = 0
    ends: float = 0.0

    @property
    def home(self) -> Path:
        return self.folder / "home" / "user"

    @property
    def network(self) -> dict:
        return self.request.get("network") or {}

    @property
    def denies_all(self) -> bool:
        denies = self.request.get("allow_internet_access") is False or "0.0.0.0/0" in self.network.get("denyOut", [])
        return denies and not self.network.get("allowOut")

    def listed(self) -> dict:
        figures = {"cpuCount": 2, "memoryMB": 512, "diskSizeMB": 1024, "envdVersion": "0.6.4", "state": "running"}
        times = {"startedAt": "2026-01-01T00:00:00Z", "endAt": "2026-01-01T01:00:00Z"}
        return {"sandboxID": self.id, "clientID": "c", "templateID": self.request["templateID"], "metadata": self.request.get("metadata"), **figures, **times}

    def path(self, name: str) -> Path:
        path = (self.folder / name.lstrip("/") if name.startswith("/") else self.home / name).resolve()
        assert path.is_relative_to(self.folder.resolve())
        return path


class StandIn:
    def __init__(self, folder: Path, templates: dict[str, dict] | None = None, quota: int = 20, canary: bytes = b""):
        self.folder, self.quota, self.canary = folder, quota, canary
        # The variables of each template's processes. `PATH` is extended by the login shell.
        self.templates = {"base": {}} | (templates or {})
        self.alive: dict[str, Sandbox] = {}
        self.seen: list[Sandbox] = []
        # The sandbox of each idempotency key: the same request makes one sandbox.
        self.unique: dict[str, Sandbox] = {}
        # All requests without the stdin of processes, which is here as it was sent; and files that contain the canary.
        self.requests: list[str] = []
        self.stdin = bytearray()
        self.leaks: list[str] = []
        self.faults: list[list] = []
        self.broken = set()
        self.lock = threading.RLock()
        self.keepalive: float | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"stand_in": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.bury, daemon=True).start()

    @property
    def env(self) -> dict:
        """What the SDK and Osiris are told."""
        return {"E2B_API_KEY": KEY, "E2B_API_URL": self.url, "E2B_SANDBOX_URL": self.url, "E2B_VALIDATE_API_KEY": "false", "E2B_HTTP_VERSION": "1.1"}

    def fail(self, request: str, status: int, times: int = 1, headers: dict | None = None, body: str = "{}", after: bool = False):
        """Fails the next requests whose line begins with `request`; with `after`, once they have had their effect."""
        self.faults.append([request, status, times, headers or {}, body, after])

    def fault(self, line: str, after: bool):
        with self.lock:
            for fault in self.faults:
                if line.startswith(fault[0]) and fault[2] and fault[5] == after:
                    fault[2] -= 1
                    return fault

    def break_streams(self):
        """Cuts all streams; the processes go on."""
        with self.lock:
            self.broken |= {process.pid for sandbox in self.alive.values() for process in sandbox.processes.values()}

    def create(self, request: dict) -> Sandbox:
        with self.lock:
            number = len(self.seen)
            envs = self.templates[request["templateID"]] | (request.get("envVars") or {})
            path = envs.pop("PATH", "")
            sandbox = Sandbox(request, self.folder / f"sandbox-{number}", envs)
            sandbox.home.mkdir(parents=True)
            (sandbox.home / ".profile").write_text(f"export PATH={path}:/usr/local/bin:/usr/bin:/bin\n")
            sandbox.ends = time.monotonic() + request.get("timeout", 300)
            self.alive[sandbox.id] = sandbox
            self.seen.append(sandbox)
            return sandbox

    def kill(self, id: str) -> bool:
        with self.lock:
            sandbox = self.alive.pop(id, None)
        if sandbox is None:
            return False
        for process in sandbox.processes.values():
            process.kill()
        for process in sandbox.processes.values():
            process.child.wait()
        if self.canary:
            files = (path for path in sandbox.folder.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_size < 16 << 20)
            self.leaks += [str(path) for path in files if self.canary in path.read_bytes()]
        shutil.rmtree(sandbox.folder, ignore_errors=True)
        return True

    def bury(self):
        """Kills sandboxes whose time is over."""
        while True:
            time.sleep(0.1)
            for sandbox in list(self.alive.values()):
                if time.monotonic() > sandbox.ends:
                    self.kill(sandbox.id)

    def close(self):
        for id in list(self.alive):
            self.kill(id)
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    # Requests and replies.

    def body(self):
        """The pieces of the request's body."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while length := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (piece := self.rfile.read(min(left, 1 << 20))):
            left -= len(piece)
            yield piece

    def json(self) -> dict:
        body = b"".join(self.body())
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.headers.get("Content-Type", "").startswith("application/connect+json"):
            flags, length = struct.unpack(">BI", body[:5])
            assert flags == 0 and length == len(body) - 5
            body = body[5:]
        parsed = json.loads(body or b"{}")
        shown = parsed
        if self.path.endswith("/SendInput"):
            shown = parsed | {"input": "stdin"}
        self.stand_in.requests.append(f"{self.requestline}\n{self.headers}{json.dumps(shown)}")
        return parsed

    def reply(self, status: int, body: object = None, headers: dict | None = None):
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, message: str):
        for _ in self.body():
            pass
        self.reply(status, {"code": status, "message": message})

    def serve(self):
        line = f"{self.command} {urlsplit(self.path).path}"
        if fault := self.stand_in.fault(line, after=False):
            for _ in self.body():
                pass
            return self.reply(fault[1], fault[4].encode(), fault[3])
        path = urlsplit(self.path).path
        if path == "/health" or path.startswith("/files") or path.startswith("/process."):
            return self.envd(path)
        if self.headers.get("X-API-Key") != KEY:
            return self.refuse(401, "invalid API key")
        self.api(line)

    do_GET = do_POST = do_PUT = do_DELETE = serve

    # The REST API.

    def api(self, line: str):
        request, stand_in = self.json(), self.stand_in
        if line == "GET /v2/sandboxes":
            wanted = [(unquote(key), unquote(value)) for key, value in parse_qsl(parse_qs(urlsplit(self.path).query).get("metadata", [""])[0])]
            alive = [one for one in list(stand_in.alive.values()) if all((one.request.get("metadata") or {}).get(key) == value for key, value in wanted)]
            return self.reply(200, [one.listed() for one in alive])
        if line in ("POST /v2/sandboxes", "POST /sandboxes"):
            if request["templateID"] not in stand_in.templates:
                return self.reply(404, {"code": 404, "message": f"template '{request['templateID']}' not found"})
            unique = self.headers.get("Idempotency-Key")
            if unique not in stand_in.unique and len(stand_in.alive) >= stand_in.quota:
                return self.reply(429, {"code": 429, "message": f"you have reached the maximum number of concurrent E2B sandboxes ({stand_in.quota})"}, {"Should-Retry": "false"})
            made = stand_in.unique.get(unique) or stand_in.create(request)
            if unique:
                stand_in.unique[unique] = made
            if fault := stand_in.fault(line, after=True):
                return self.reply(fault[1], fault[4].encode(), fault[3])
            return self.reply(201, {"templateID": request["templateID"], "sandboxID": made.id, "clientID": "c", "envdVersion": "0.6.4", "envdAccessToken": made.token})
        found = re.fullmatch(r"(\w+) /sandboxes/([^/]+)(/\w+)?", line)
        sandbox = stand_in.alive.get(found[2]) if found else None
        if sandbox is None:
            return self.reply(404, {"code": 404, "message": "sandbox not found"})
        match found[1], found[3]:
            case "DELETE", None:
                stand_in.kill(sandbox.id)
            case "POST", "/timeout":
                sandbox.ends = time.monotonic() + request["timeout"]
                sandbox.extended += 1
            case "PUT", "/network":
                sandbox.request["network"] = request
        self.reply(204)

    # envd.

    def envd(self, path: str):
        sandbox = self.stand_in.alive.get(self.headers.get("E2b-Sandbox-Id", ""))
        if sandbox is None:
            return self.refuse(502, "The sandbox was not found")
        if path == "/health":
            return self.reply(204)
        if self.headers.get("X-Access-Token") != sandbox.token:
            return self.refuse(401, "unauthorized")
        if path == "/files/compose":
            return self.compose(sandbox)
        if path == "/files":
            return self.files(sandbox, parse_qs(urlsplit(self.path).query))
        getattr(self, path.rpartition("/")[2].lower())(sandbox, self.json())

    def files(self, sandbox: Sandbox, query: dict):
        if self.command == "GET":
            file = sandbox.path(query["path"][0])
            return self.reply(200, file.read_bytes(), {"Content-Type": "application/octet-stream"}) if file.is_file() else self.refuse(404, "file not found")
        self.stand_in.requests.append(f"{self.requestline}\n{self.headers}")
        kind = self.headers["Content-Type"]
        if kind == "application/octet-stream":
            file = sandbox.path(query["path"][0])
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as to:
                for piece in self.body():
                    to.write(piece)
            if self.headers.get("Content-Encoding") == "gzip":
                file.write_bytes(gzip.decompress(file.read_bytes()))
            written = [file]
        else:
            written = []
            boundary = b"--" + re.search(r"boundary=\"?([^\";]+)", kind)[1].encode()
            for part in b"".join([b"\r\n", *self.body()]).split(b"\r\n" + boundary)[1:-1]:
                head, _, content = part.partition(b"\r\n\r\n")
                file = sandbox.path((query.get("path") or [re.search(rb'filename="([^"]*)"', head)[1].decode()])[0])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                written.append(file)
        # As envd does: nobody may run what was uploaded.
        [file.chmod(0o644) for file in written]
        self.reply(200, [{"path": str(file), "name": file.name, "type": "file"} for file in written])

    def compose(self, sandbox: Sandbox):
        request = self.json()
        to = sandbox.path(request["destination"])
        with to.open("wb") as whole:
            for source in request["source_paths"]:
                whole.write(sandbox.path(source).read_bytes())
                sandbox.path(source).unlink()
        self.reply(200, {"path": str(to), "name": to.name, "type": "file"})

    def process(self, sandbox: Sandbox, request: dict) -> Process | None:
        found = sandbox.processes.get(request["process"].get("pid"))
        if found is None:
            self.reply(404, {"code": "not_found", "message": "process not found"})
        return found

    def start(self, sandbox: Sandbox, request: dict):
        try:
            process = Process(sandbox, request["process"], request.get("stdin", False))
        except OSError as error:
            return self.stream(None, error=str(error))
        sandbox.processes[process.pid] = process
        messages = process.listen()
        process.begin()
        self.stream(process, messages, kills=True)

    def connect(self, sandbox: Sandbox, request: dict):
        if process := sandbox.processes.get(request["process"].get("pid")):
            return self.stream(process, process.listen())
        self.stream(None, error="process not found")

    def list(self, sandbox: Sandbox, _: dict):
        running = [{"config": one.config, "pid": pid} for pid, one in sandbox.processes.items() if one.end is None]
        self.reply(200, {"processes": running} if running else {})

    def sendinput(self, sandbox: Sandbox, request: dict):
        if process := self.process(sandbox, request):
            data = base64.b64decode(request["input"]["stdin"])
            self.stand_in.stdin += data
            try:
                process.child.stdin.write(data)
                process.child.stdin.flush()
            except OSError:
                return self.reply(500, {"code": "internal", "message": "error writing to stdin"})
            if fault := self.stand_in.fault(f"POST {self.path}", after=True):
                return self.reply(fault[1], fault[4].encode(), fault[3])
            self.reply(200, {})

    def closestdin(self, sandbox: Sandbox, request: dict):
        if process := self.process(sandbox, request):
            process.child.stdin.close()
            self.reply(200, {})

    def sendsignal(self, sandbox: Sandbox, request: dict):
        if process := self.process(sandbox, request):
            name = request["signal"].removeprefix("SIGNAL_")
            try:
                os.killpg(process.pid, getattr(signal, name))
            except ProcessLookupError:
                pass
            self.reply(200, {})

    def stream(self, process: Process | None, messages: queue.Queue | None = None, kills: bool = False, error: str = ""):
        """Sends a process's events until it ends; without one, only an error."""
        self.send_response(200)
        self.send_header("Content-Type", "application/connect+json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if process is None:
            return self.finish_stream({"error": {"code": "not_found", "message": error}})
        try:
            self.pass_on(process, messages, kills)
        except OSError:
            self.close_connection = True
        finally:
            process.leave(messages)

    def pass_on(self, process: Process, messages: queue.Queue, kills: bool):
        now = time.monotonic()
        limit = int(self.headers.get("Connect-Timeout-Ms") or 0) / 1000
        interval = self.stand_in.keepalive or float(self.headers.get("Keepalive-Ping-Interval") or 90)
        deadline, ping = now + limit if limit else None, now + interval
        sandbox = self.headers["E2b-Sandbox-Id"]
        while True:
            if deadline and time.monotonic() > deadline:
                if kills:
                    process.kill()
                return self.finish_stream({"error": {"code": "deadline_exceeded", "message": "context deadline exceeded"}})
            if process.pid in self.stand_in.broken or sandbox not in self.stand_in.alive:
                # In the middle of a message: nothing says that this was all.
                self.close_connection = True
                self.wfile.write(b"100\r\n\0\0")
                return self.wfile.flush()
            try:
                message = messages.get(timeout=0.1)
            except queue.Empty:
                if time.monotonic() < ping:
                    continue
                message = {"keepalive": {}}
            ping = time.monotonic() + interval
            self.envelope(0, {"event": message})
            if "end" in message:
                return self.finish_stream({})

    def envelope(self, flags: int, message: dict):
        data = json.dumps(message).encode()
        data = struct.pack(">BI", flags, len(data)) + data
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def finish_stream(self, message: dict):
        self.envelope(2, message)
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
