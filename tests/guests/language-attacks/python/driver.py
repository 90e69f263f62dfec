"""Attacks by what Python's runtime, its standard library and the SDK offer.

Each attack is a function. What it returns, or the error that it raises, is its outcome: one row of the table `main`. An
attack in `FATAL` ends the driver, so that it is a step of its own.
"""

import asyncio
import base64
import builtins
import encodings.idna  # noqa: F401  # for names of hosts: nothing can be imported later
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from array import array

import osiris_sdk as osiris
from osiris_sdk import http
from osiris_sdk._contract import arrow, errors, tables
from osiris_sdk._contract import files as raw_files
from osiris_sdk._contract import sql as raw_sql

TRIED = {}
FATAL = {}


def attack(function):
    TRIED[function.__name__] = function
    return function


def fatal(function):
    FATAL[function.__name__] = function
    return function


# What is granted, so that the refusals below mean something.


@attack
def granted_file(step):
    return attempt(lambda: osiris.files.open(step.config.file).read().decode())


@attack
def granted_address(step):
    return attempt(lambda: http.session(step.config.url).get().text)


# The operating system, as Python sees it.


@attack
def open_private_files(step):
    return [attempt(lambda path=path: open(path).read()) for path in step.config.private]


@attack
def list_folders(step):
    return [attempt(lambda path=path: os.listdir(path)) for path in ("/", ".", "..", "/proc/self/fd", "/tmp")]


@attack
def write_files(step):
    return [attempt(lambda path=path: open(path, "w").write("x")) for path in ("/tmp/osiris-attack", "osiris-attack", step.config.file)]


@attack
def environment(step):
    return [f"{len(os.environ)} variables", f"{len(sys.argv[1:])} arguments"]


@attack
def standard_input(step):
    return [attempt(lambda: sys.stdin.read(10)), attempt(lambda: os.read(0, 10))]


@attack
def inherited_descriptors(step):
    return [attempt(lambda fd=fd: os.read(fd, 10)) for fd in range(3, 40)]


@attack
def run_programs(step):
    return [
        attempt(lambda: subprocess.run(["id"], capture_output=True).stdout),
        attempt(lambda: os.system("id")),
        attempt(lambda: os.execv("/bin/sh", ["sh"])),
        attempt(lambda: os.fork()),
        attempt(lambda: os.posix_spawn("/bin/sh", ["sh"], {})),
        attempt(lambda: os.popen("id").read()),
    ]


@attack
def native_code(step):
    return [attempt(lambda name=name: importlib.import_module(name)) for name in ("ctypes", "_ctypes", "mmap", "_posixsubprocess", "cffi")]


@attack
def signals(step):
    return [attempt(lambda: os.kill(1, 9)), attempt(lambda: os.kill(os.getppid(), 9))]


@attack
def sockets(step):
    def connect(host, port):
        with socket.create_connection((host, port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(100)

    def listen():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            return "listens"

    hosts = ("127.0.0.1", "localhost", "::1", "0.0.0.0")
    return [
        *(attempt(lambda host=host: connect(host, step.config.port)) for host in hosts),
        attempt(lambda: connect("169.254.169.254", 80)),
        attempt(lambda: socket.getaddrinfo("example.com", 80)),
        attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", step.config.port))),
        attempt(lambda: socket.socket(socket.AF_UNIX).connect("/tmp/x")),
        attempt(listen),
        attempt(lambda: urllib.request.urlopen(step.config.url, timeout=5).read()),
        attempt(lambda: asyncio.run(asyncio.open_connection("127.0.0.1", step.config.port))),
    ]


@attack
def connect_without_asking(step):
    osiris.sockets.install()
    return attempt(lambda: socket.create_connection(("127.0.0.1", step.config.port), timeout=5).recv(10))


@attack
def threads(step):
    return attempt(threading.Thread(target=lambda: None).start)


@attack
def import_at_run_time(step):
    return [attempt(lambda name=name: importlib.import_module(name)) for name in ("sqlite3", "driver_of_another_step", "antigravity")]


@attack
def evaluate(step):
    """Code from data runs, but reaches no more than the driver."""
    code = compile("open('/etc/passwd').read()", "<data>", "eval")
    return [attempt(lambda: eval("6 * 7")), attempt(lambda: eval(code)), attempt(lambda: builtins.__import__("os").listdir("/"))]


# The contract, by the SDK and by the raw bindings.


@attack
def files_that_are_not_granted(step):
    paths = [*step.config.private, f"./{step.config.file}", f"../{step.config.file}", f"{step.config.file}\0", ""]
    return [attempt(lambda path=path: osiris.files.open(path)) for path in paths] + [
        attempt(lambda: raw_files.open("/etc/passwd")),
        attempt(lambda: raw_files.list("/")),
        attempt(lambda: osiris.files.create(step.config.file)),
        attempt(lambda: osiris.files.create("osiris-attack")),
    ]


@attack
def paths_in_sql(step):
    selects = [f"select * from read_text('{path}')" for path in step.config.private] + [
        "select * from '/etc/passwd'", "select * from read_csv('../*')", "attach 'x.duckdb'", "select getenv('HOME')", "install httpfs",
        "copy (select 1) to '/tmp/osiris-attack'", "select * from duckdb_settings()", "set allowed_paths = ['/']", "select 1; select 2",
        "select * from read_json('http://169.254.169.254/')", f"select * from read_text('{step.config.file}')", "select * from duckdb_databases()",
    ]  # fmt: skip
    return [attempt(lambda sql=sql: list(osiris.sql.query(sql))) for sql in selects] + [
        attempt(lambda sql=sql: raw_sql.query_json(sql).next()) for sql in selects[:2]
    ]


@attack
def forged_batches(step):
    """Each is malformed in another way; none may be stored."""
    text = osiris.types.text.fields("a")
    number = osiris.types.int64.fields("a")
    numbers = lambda *values: array("i", values).tobytes()  # noqa: E731
    nodes = [
        (text, 1, [arrow.Node(1, [b"", numbers(0, 1 << 30), b"x"])]),
        (text, 1, [arrow.Node(1, [b"", numbers(-8, 4), b"xxxx"])]),
        (text, 2, [arrow.Node(2, [b"", numbers(0, 4, 1), b"xxxx"])]),
        (text, 1, [arrow.Node(1, [b"", numbers(0, 2), b"\xff\xfe"])]),
        (text, 1, [arrow.Node(1, [b"", numbers(0, 3), b"\xed\xa0\x80"])]),
        (number, 1000, [arrow.Node(1000, [b"", bytes(8)])]),
        (number, 1, [arrow.Node(1 << 31, [b"", bytes(8)])]),
        (number, (1 << 32) - 1, [arrow.Node((1 << 32) - 1, [b"", bytes(8)])]),
        (number, 1, []),
        (number, 1, [arrow.Node(1, [])]),
        (number, 9, [arrow.Node(9, [b"\x01", bytes(72)])]),
        (osiris.types.list_of(int).fields("a"), 1, [arrow.Node(1, [b"", numbers(0, 99)]), arrow.Node(1, [b"", bytes(8)])]),
    ]
    return [
        attempt(lambda: forged_table(step, f"forged_{place}", fields, rows, forged))
        for place, (fields, rows, forged) in enumerate(nodes)
    ]


def forged_table(step, name, fields, rows, nodes):
    with step.output._raw.create_table(name, arrow.Schema(fields)) as table:
        try:
            table.append(arrow.Batch(rows, nodes))
            return "was taken"
        finally:
            table.finish()


@attack
def forged_names(step):
    names = ["main\0", "", 'x"; drop table main; --', "x" * 100_000, "../x"]
    fields = osiris.types.int64.fields("a")
    return [attempt(lambda name=name: step.output._raw.create_table(name, arrow.Schema(fields)).finish()) for name in names[:2]] + [
        attempt(lambda: step.output._raw.create_table("t", arrow.Schema([arrow.Field("a", "l" * 1000, True, 0, [])]))),
        attempt(lambda: step.output._raw.create_json_table("t", [tables.Column("a", "INTEGER); attach 'x'; --")])),
        attempt(lambda: step.inputs.only()._raw.read(['a" from read_text(\'/etc/passwd\') --'], tables.Types.EXACT)),
    ]


@attack
def addresses_that_are_not_granted(step):
    def get(url, **options):
        return http.session(retry=http.Retry(retries=0)).get(url, **options).text

    granted = step.config.url
    host = granted.split("//")[1].split("/")[0]
    urls = [
        step.config.target, "http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/", "file:///etc/passwd", f"http://{host}/secret",
        f"{granted}/../secret", f"{granted}/%2e%2e/secret", f"http://{host}@{step.config.target[7:]}",
        f"{granted}/redirect", granted.replace("127.0.0.1", "localhost"), granted.replace("127.0.0.1", "2130706433"),
    ]  # fmt: skip
    return [attempt(lambda url=url: get(url)) for url in urls] + [
        attempt(lambda: http.session(granted, retry=http.Retry(retries=0)).post(json={"x": 1}).text),
        attempt(lambda: get(granted, headers={"host": "internal.example"})),
        attempt(lambda: get(granted, headers={"x": "y\r\nhost: internal.example"})),
        attempt(lambda: get(granted, headers={"transfer-encoding": "chunked", "content-length": "0"})),
    ]


@attack
def foreign_secrets(step):
    return [attempt(lambda name=name: osiris.secret(name)) for name in ("", "/", "/file", "/key/x", "../key")]


@attack
def secret_everywhere(step):
    """The secret in every place and encoding that may be read later. None of it may arrive."""
    key = osiris.secret("key")
    shapes = [key, base64.b64encode(key.encode()).decode(), "".join(f"%{byte:02X}" for byte in key.encode()), json.dumps(key), f"xx{key}xx", key[:4] + "\n" + key]
    for shape in shapes:
        print(shape)
        print(shape, file=sys.stderr)
        osiris.log.info(shape, field=shape)
        osiris.metric(shape, 1)
    sys.stdout.write("\n".join(shapes))
    return attempt(lambda: osiris.state.set({"key": key}))


@attack
def finalizers(step):
    """Objects that act when they are collected, after what they belong to is gone."""

    class Late:
        def __init__(self, act):
            self.act = act

        def __del__(self):
            self.act()

    table = step.output.table("finalized")
    table.write({"a": 1})
    raw = step.inputs.only()._raw
    reader = raw.read([], tables.Types.EXACT)
    loop = Late(lambda: table.write({"a": 2}))
    loop.own = loop
    del loop
    gc.collect()
    builtins.late = [Late(lambda: reader.next()), Late(lambda: step.output.table("late").write({"a": 3})), Late(lambda: osiris.files.open("/etc/passwd"))]
    return "collected"


@attack
def altered_sdk(step):
    """A driver that replaces parts of the SDK reaches no more than one that uses the raw bindings."""
    original = osiris.files.open
    osiris.files.open = builtins.open
    try:
        return attempt(lambda: osiris.files.open("/etc/passwd").read())
    finally:
        osiris.files.open = original


@fatal
def own_signal(step):
    signal.raise_signal(9)


@fatal
def memory(step):
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


@fatal
def endless_loop(step):
    while True:
        pass


@fatal
def endless_output(step):
    while True:
        print("x" * 1000)


@fatal
def deep_recursion(step):
    sys.setrecursionlimit(1 << 30)

    def deeper(at):
        return [at, deeper(at + 1)]

    deeper(0)


@fatal
def forged_handle(step):
    raw = step.inputs.only()._raw
    raw.handle = 12345
    return raw.rows()


@fatal
def use_after_drop(step):
    raw = step.inputs.only()._raw
    raw.__exit__(None, None, None)
    return raw.rows()


@fatal
def exit_at_once(step):
    os._exit(0)


@fatal
def exit_by_exception(step):
    sys.exit(0)


@fatal
def secret_in_an_error(step):
    raise ValueError(f"the key is {osiris.secret('key')}")


@fatal
def half_a_table(step):
    raw = step.output._raw.create_table("main", arrow.Schema(osiris.types.int64.fields("a")))
    raw.append(arrow.Batch(1, [arrow.Node(1, [b"", bytes(8)])]))


def attempt(act):
    """What an action returns, or the error that it raises."""
    try:
        return f"got {act()!r}"[:200]
    except BaseException as error:  # An exit is an outcome as well.
        refusal = getattr(error, "value", None)
        if isinstance(refusal, errors.Error):  # As the raw bindings raise it.
            return f"{refusal.kind.name.lower().replace('_', '-')}: {refusal.message}"[:200]
        return f"{error.kind if isinstance(error, osiris.Error) else type(error).__name__}: {error}"[:200]


class Step:
    def __init__(self, config, inputs, output):
        self.config, self.inputs, self.output = config, inputs, output


@osiris.processor
def transform(config, inputs, output):
    step = Step(config, inputs, output)
    if config.attack != "all":
        FATAL[config.attack](step)
        return
    rows = []
    for name, act in TRIED.items():
        try:
            outcome = act(step)
        except BaseException as error:
            outcome = f"escaped: {error!r}"
        rows += [{"attack": name, "outcome": str(one)} for one in (outcome if isinstance(outcome, list) else [outcome])]
    output.write("main", rows, attack=str, outcome=str)
