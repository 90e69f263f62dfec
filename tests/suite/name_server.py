"""A separate network for one command, with a real name server whose answers change.

`run_with_names(project, names, *arguments)` runs `osiris` there. `names` maps each name to a list of answers, each a list of
addresses; the last answer is given from then on. `PUBLIC` is an address that every rule takes for one of the internet, and
`OWN` one that is this machine's; at both and on 127.0.0.1 a server answers on port `PORT`. The network is a namespace of the kernel's: nothing of it reaches
the machine's own, and the C library resolves names by it as it would by any.
"""

import fcntl
import http.server
import json
import os
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

PUBLIC, OWN, PORT = "1.2.3.4", "1.2.3.5", 8080
# The source address of connections to `PUBLIC`, as on a machine that has another address.
FROM = "1.2.3.6"
# The answers for a name about which the server says nothing.
MUTE = []
A, AAAA = 1, 28
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8913, 0x8914, 0x8916, 1

_UNSHARE = ["unshare", "--mount", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


def missing() -> str | None:
    """Why this machine cannot provide such a network; None if it can."""
    if not shutil.which("unshare"):
        return "`unshare` is not installed"
    tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True)
    return tried.stderr.strip() or "unshare failed" if tried.returncode else None


def run_with_names(project, names: dict[str, list[list[str]]], *arguments) -> dict:
    """Runs `osiris` with the arguments; returns its return code, stdout and stderr, how often each name was looked
    up, and the address at which each request arrived."""
    command = [*_UNSHARE, sys.executable, __file__, json.dumps(names)]
    done = project.osiris(*arguments, before=command)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- Inside the network


def _bring_up() -> None:
    """Sets up loopback with this machine's addresses, and a route to the public one that uses another source
    address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for interface, address in ((b"lo:1", OWN), (b"lo:2", FROM)):
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16sHH4s8x", interface, socket.AF_INET, 0, socket.inet_aton(address)))
        for interface in (b"lo", b"lo:1", b"lo:2"):
            name, flags = struct.unpack_from("16sH", fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", interface, 0)))
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | IFF_UP))


    # rtnetlink(7): RTM_NEWROUTE of type local, in the table of local addresses, with a preferred source.
    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("HH", 4 + len(value), kind) + value

    route = struct.pack("BBBBBBBBI", socket.AF_INET, 32, 0, 0, 255, 3, 254, 2, 0)
    route += attribute(1, socket.inet_aton(PUBLIC)) + attribute(4, struct.pack("I", socket.if_nametoindex("lo"))) + attribute(7, socket.inet_aton(FROM))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(struct.pack("IHHII", 16 + len(route), 24, 0x1 | 0x4 | 0x400, 1, 0) + route)
        (error,) = struct.unpack_from("i", netlink.recv(4096), 16)
        assert error == 0, os.strerror(-error)


def _resolve_here(folder: Path) -> None:
    """Makes the C library ask only 127.0.0.1."""
    for place, text in [("resolv.conf", "nameserver 127.0.0.1\noptions timeout:20 attempts:1\n"), ("nsswitch.conf", "hosts: files dns\n")]:
        (folder / place).write_text(text)
        subprocess.run(["mount", "--bind", folder / place, f"/etc/{place}"], check=True)


class NameServer(socketserver.BaseRequestHandler):
    """Answers queries for addresses (RFC 1035), each name with its next answer."""

    names: dict[str, list[list[str]]] = {}
    asked: dict[str, int] = {}

    def handle(self):
        question, reply = self.request
        labels, place = [], 12
        while question[place]:
            labels.append(question[place + 1 : place + 1 + question[place]].decode())
            place += 1 + question[place]
        name = ".".join(labels).lower()
        if self.names.get(name) == MUTE:
            self.asked[f"{name} {A}"] = self.asked.get(f"{name} {A}", 0) + (struct.unpack_from(">H", question, place + 1) == (A,))
            return
        (kind,) = struct.unpack_from(">H", question, place + 1)
        records = []
        if name in self.names:
            before = self.asked.get(f"{name} {kind}", 0)
            self.asked[f"{name} {kind}"] = before + 1
            answers = self.names[name]
            for address in answers[min(before, len(answers) - 1)]:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                if kind == (AAAA if family == socket.AF_INET6 else A):
                    data = socket.inet_pton(family, address)
                    # The name as a pointer to the question, with a TTL of zero.
                    records.append(struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(data)) + data)
        flags = 0x8400 if name in self.names else 0x8403
        head = question[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
        reply.sendto(head + question[12 : place + 5] + b"".join(records), self.client_address)


class WebServer(http.server.BaseHTTPRequestHandler):
    """Serves what was granted at the public address, and what nobody may have at this machine's own."""

    seen: list[str] = []

    def do_GET(self):
        address = self.connection.getsockname()[0]
        self.seen.append(address)
        body = b"granted" if address == PUBLIC else b"treasure"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main() -> None:
    NameServer.names = json.loads(sys.argv[1])
    _bring_up()
    with tempfile.TemporaryDirectory() as folder:
        _resolve_here(Path(folder))
        for server in [
            socketserver.ThreadingUDPServer(("127.0.0.1", 53), NameServer),
            http.server.ThreadingHTTPServer(("0.0.0.0", PORT), WebServer),
        ]:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(sys.argv[2:], capture_output=True, text=True)
        asked = {name.split()[0]: count for name, count in NameServer.asked.items() if name.endswith(f" {A}")}
        print(json.dumps({"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr, "asked": asked, "seen": WebServer.seen}))


if __name__ == "__main__":
    main()
