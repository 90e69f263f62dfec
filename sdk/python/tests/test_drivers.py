"""Drivers as a whole: config, columns, errors, and what the step gives and takes."""

import decimal
import logging
from dataclasses import dataclass, field

import pytest

import osiris_sdk as osiris
from osiris_sdk import _fake_contract as contract
from osiris_sdk import errors
from osiris_sdk.testing import Input, run


def extractor(function):
    return osiris.extractor(function)


def test_config_has_attributes_items_and_clear_errors():
    @osiris.extractor
    def extract(config, output):
        assert (config.url, config["url"], config.get("nothing", 7)) == ("x", "x", 7)
        assert (
            config.connection.port == 5 and config["items"][0].a == 1 and list(config) == ["url", "connection", "items"]
        )
        assert getattr(config, "nothing", None) is None
        with pytest.raises(osiris.ConfigError, match="`config.connection` has no `host`; it has `port`"):
            config.connection.host

    run(extract, config={"url": "x", "connection": {"port": 5}, "items": [{"a": 1}]})


@dataclass
class Connection:
    port: int
    host: str = "localhost"


@dataclass
class Settings:
    connection: Connection
    ratio: float = 1.0
    names: list[str] = field(default_factory=list)
    backup: Connection | None = None
    all: dict[str, Connection] = field(default_factory=dict)


def test_config_can_be_a_dataclass():
    seen = []

    @osiris.extractor
    def extract(config: Settings, output):
        seen.append(config)

    run(
        extract,
        config={"connection": {"port": 5}, "ratio": 2, "backup": {"port": 6}, "all": {"a": {"port": 7}}, "unknown": 1},
    )
    assert seen == [Settings(Connection(5), 2.0, [], Connection(6), {"a": Connection(7)})]
    assert isinstance(seen[0].ratio, float)
    with pytest.raises(osiris.ConfigError, match="`config.connection` has no `port`"):
        run(extract, config={"connection": {}})
    with pytest.raises(osiris.ConfigError, match="`config` has no `connection`"):
        run(extract, config={})


def test_untouched_columns_pass_with_their_bytes_and_replaced_ones_keep_their_type():
    @osiris.processor
    def transform(config, inputs, output):
        for batch in inputs.only().batches():
            assert len(batch) <= 2 and "a" in batch
            batch["a"] = [value and value * 2 for value in batch["a"]]
            batch.set("c", [value and value.upper() for value in batch["b"]], str)
            batch.rename("b", "text")
            output.append("main", batch)
            output.append("one", batch.select("c"))
            output.append("last", batch.take([len(batch) - 1] if len(batch) else []))
            with pytest.raises(osiris.NotFoundError, match="has no column `x`; it has `a`, `text`, `u`, `c`"):
                batch["x"]
            with pytest.raises(osiris.NotFoundError, match="add one with its type"):
                batch["x"] = [1]
            with pytest.raises(osiris.DataError, match="has 9 values, but the batch has"):
                batch["a"] = [1] * 9

    rows = [{"a": 1, "b": "x", "u": None}, {"a": None, "b": None, "u": 2}, {"a": 3, "b": "z", "u": 3}]
    given = Input(rows, a=osiris.types.int16, b="VARCHAR", u=osiris.types.uint8)
    result = run(transform, inputs={"source": given}, batch_size=2)
    assert result.rows() == [
        {"a": 2, "text": "x", "u": None, "c": "X"}, {"a": None, "text": None, "u": 2, "c": None}, {"a": 6, "text": "z", "u": 3, "c": "Z"},
    ]  # fmt: skip
    assert result.types() == {"a": "SMALLINT", "text": "VARCHAR", "u": "UTINYINT", "c": "VARCHAR"}
    assert result.rows("one") == [{"c": "X"}, {"c": None}, {"c": "Z"}] and len(result.rows("last")) == 2
    empty = run(transform, inputs={"source": Input([], **given.types)})
    assert empty.rows() == [] and empty.types() == result.types()
    with pytest.raises(osiris.DataError, match="TINYINT|SMALLINT"):
        run(transform, inputs={"source": Input([{"a": 20_000, "b": None, "u": None}], **given.types)})


def test_a_batch_with_other_columns_is_refused():
    @osiris.extractor
    def extract(config, output):
        output.append("main", osiris.Batch.of({"a": [1]}))
        output.append("main", osiris.Batch.of({"a": ["x"]}))

    with pytest.raises(osiris.DataError, match="other columns than the first one"):
        run(extract)


def test_inputs_are_found_by_name_and_number():
    @osiris.processor
    def transform(config, inputs, output):
        assert [one.alias for one in inputs] == ["a", "b"] and inputs.named("b").sql_name == '"b"'
        assert inputs[0].types == {"x": osiris.types.int64}
        with pytest.raises(osiris.ConfigError, match="no input `c`; it has `a`, `b`"):
            inputs.named("c")
        inputs.only()

    with pytest.raises(osiris.ConfigError, match="2 inputs \\(`a`, `b`\\), but this driver takes exactly one"):
        run(transform, inputs={"a": [{"x": 1}], "b": [{"x": 1}]})


def test_every_kind_of_error_crosses_the_contract_and_comes_back():
    for kind in contract.errors.ErrorKind:
        name = kind.name.lower().replace("_", "-")
        error = errors.of_kind(name, "it broke \ud800", code="42", retry_after=1.5)
        crossed = errors.to_contract(error)
        assert (crossed.kind, crossed.code, crossed.message, crossed.retry_after_ms) == (
            kind,
            "42",
            "it broke \\ud800",
            1500,
        )
        back = errors.from_contract(crossed)
        assert type(back) is type(error) and back.retry_after == 1.5 and str(back) == crossed.message
    assert errors.to_contract(errors.TransientError("x", retry_after=1e12)).retry_after_ms == 2**32 - 1
    assert errors.to_contract(errors.TransientError("x", retry_after=-1)).retry_after_ms == 0


def exported(function, *arguments, **given):
    """Calls a driver's export as the host does, with a fake host around it."""
    host = contract.FakeHost(**given)
    contract.enter(host)
    try:
        name = function.osiris_export
        return host, getattr(__import__("sys").modules[function.__module__], name)().run(*arguments)
    except contract.Err as error:
        return host, error.value
    finally:
        contract.enter(None)


def test_any_exception_becomes_an_error_with_type_text_file_and_line():
    @osiris.extractor
    def extract(config, output):
        output.write("main", [{"a": 1}])
        raise ValueError("boom")

    host, error = exported(extract, contract.tables.Output())
    line = extract.__code__.co_firstlineno + 3
    assert error.kind is contract.errors.ErrorKind.INTERNAL
    assert error.message == f"ValueError: boom (test_drivers.py:{line})"
    level, message, _ = host.log[-1]
    assert level == "error" and message.startswith("Traceback") and message.endswith("ValueError: boom")
    assert not host.tables["main"].finished if "main" in host.tables else True
    with pytest.raises(osiris.InternalError, match="ValueError: boom"):
        run(extract)

    @osiris.extractor
    def refused(config, output):
        raise osiris.RateLimitedError("slow down", code="HTTP 429", retry_after=2)

    host, error = exported(refused, contract.tables.Output())
    assert (error.kind.name, error.code, error.message, error.retry_after_ms) == (
        "RATE_LIMITED",
        "HTTP 429",
        "slow down",
        2000,
    )
    assert host.log == []


def test_a_refusal_of_the_host_is_an_error_of_its_kind():
    @osiris.extractor
    def extract(config, output):
        with pytest.raises(osiris.DeniedError, match="not granted `/etc/passwd`"):
            osiris.files.open("/etc/passwd")
        osiris.state.set({"key": "hunter2"})

    _, error = exported(extract, contract.tables.Output(), secrets={"/token": "hunter2"})
    assert error.kind.name == "DENIED" and "secret" in error.message


def test_check_and_discover_are_exported_beside_the_kind():
    @osiris.check
    def check(config):
        return f"Server {config.version}"

    @osiris.discover
    def discover(config):
        return [osiris.Table("t", [osiris.Column("id", "int4", "INTEGER", nullable=False)], "public", ["id"], 7)]

    assert exported(check, config={"version": 15})[1] == "Server 15"
    assert exported(discover)[1] == [
        contract.catalog.Table("public", "t", [contract.catalog.Column("id", "int4", "INTEGER", False)], ["id"], 7)
    ]
    assert run(check, config={"version": 1}).returned == "Server 1"
    with pytest.raises(TypeError, match=r"must take \(config, output\)"):
        osiris.extractor(lambda config: None)


def test_secrets_state_log_metrics_and_progress():
    @osiris.extractor
    def extract(config, output):
        assert osiris.secret("/token") == osiris.secret("token") == "t0ken" and osiris.secret("/nothing") is None
        assert osiris.secret("connection.password") == "pa55"
        assert osiris.secrets_below("/headers") == {"X-A/b": "h3ader"}
        assert osiris.state.get("first") == "first"
        osiris.state.set({"until": 5})
        osiris.log.warn("careful", page=3)
        logging.getLogger("library").info("read %s rows", 5)
        logging.getLogger("library").debug("not shown")
        osiris.metric("pages", 3)
        osiris.progress(1, 2)
        assert (osiris.step_id(), osiris.partition(), osiris.attempt()) == ("step", (1, 4), 2)

    result = run(
        extract, secrets={"/token": "t0ken", "/connection/password": "pa55", "/headers/X-A~1b": "h3ader"}, partition=(1, 4), attempt=2,
    )  # fmt: skip
    assert result.state == {"until": 5}
    assert result.log == [("warn", "careful", {"page": "3"}), ("info", "read 5 rows", {"logger": "library"})]
    assert result.metrics == {"pages": 3.0} and result.progress == [(1, 2)]
    with pytest.raises(ValueError, match="is not a level"):
        osiris.log.write("loud", "x")
    with pytest.raises(osiris.DataError, match="cannot be stored as JSON"):
        osiris.state.set(object())


def test_rows_are_rejected_while_others_are_written():
    @osiris.extractor
    def extract(config, output):
        def good():
            for number in (decimal.Decimal("0.10"), None, decimal.Decimal("12345678901234567890.5")):
                if number is None:
                    osiris.reject({"id": 2, "price": decimal.Decimal("1.50")}, "no price")
                    osiris.reject('a;"b', "too few fields")
                    continue
                yield {"price": number}

        output.write("main", good())

    result = run(extract)
    assert result.rejected == [({"id": 2, "price": 1.5}, "no price"), ('a;"b', "too few fields")]
    assert [row["price"] for row in result.rows()] == [0.1, decimal.Decimal("12345678901234567890.5")]
    with pytest.raises(osiris.DataError, match="a row was rejected: no price"):
        run(extract, rejects=0)


def test_files_are_read_and_written():
    @osiris.extractor
    def extract(config, output):
        with osiris.files.open("in.csv") as source:
            assert source.size == 12 and source.read(4) == b"id\n1"
            source.seek(-2, 2)
            assert source.read() == b"3\n"
        output.write(
            "main", osiris.sql.rows(f"select id + 1 as id from read_csv({osiris.files.open('in.csv').sql_literal})")
        )
        target = osiris.files.create("out.bin")
        target.write(b"a" * 10)
        target.write(b"b")
        temporary = osiris.files.temporary()
        temporary.write(b"x,y\n1,2\n")
        assert osiris.sql.create_table(output, "second", f"from read_csv({temporary.sql_literal})") == 1
        assert osiris.files.list("in.csv") == ["in.csv"]

    result = run(extract, files={"in.csv": b"id\n1\n22\n333\n"})
    assert [row["id"] for row in result.rows()] == [2, 23, 334]
    assert result.file("out.bin") == b"aaaaaaaaaab" and result.rows("second") == [{"x": 1, "y": 2}]


def test_sql_runs_over_the_inputs():
    @osiris.processor
    def transform(config, inputs, output):
        name = inputs.only().sql_name
        for batch in osiris.sql.query(f"select a * 2 as a, b from {name}"):
            output.append("main", batch)
        assert list(osiris.sql.rows(f"select count(*) as n from {name}")) == [{"n": 2}]
        assert list(osiris.sql.query(f"select b from {name} where a = 1").rows()) == [{"b": ["x"]}]
        with pytest.raises(osiris.ConfigError, match="Binder Error|Referenced column"):
            osiris.sql.query(f"select nothing from {name}")

    result = run(transform, inputs={'odd "name': [{"a": 1, "b": ["x"]}, {"a": None, "b": None}]})
    assert result.rows() == [{"a": 2, "b": ["x"]}, {"a": None, "b": None}] and result.types()["b"] == "VARCHAR[]"
    assert osiris.sql.literal("it's") == "'it''s'" and osiris.sql.identifier('a"b') == '"a""b"'


def test_a_table_that_is_not_finished_fails_the_run():
    def extract(config, output):
        output._raw.create_json_table("main", [])

    with pytest.raises(osiris.InternalError, match="did not finish the table `main`"):
        run(osiris.extractor(extract))


def test_readers_and_writers_are_dropped_before_what_they_belong_to():
    dropped = []
    kept = []

    class Watched(contract.tables.Output):
        def __exit__(self, *_):
            dropped.append("output")

    @osiris.processor
    def transform(config, inputs, output):
        output.write("main", [{"a": "x" * (1 << 20)}])
        for _ in inputs.only().rows():
            kept.append(inputs.only().batches())
            raise ValueError("boom")

    for kind in (contract.tables.JsonWriter, contract.tables.JsonReader, contract.tables.Reader):
        original = kind.__exit__
        kind.__exit__ = lambda self, *_: dropped.append(type(self).__name__)
        kept.append((kind, original))
    try:
        source = contract.tables.Input("source", Input([{"a": 1}]).batches(10))
        exported(transform, [source], Watched())
    finally:
        for kind, original in kept[:3]:
            kind.__exit__ = original
    assert sorted(dropped[:3]) == ["JsonReader", "JsonWriter", "Reader"] and dropped[3:] == ["output"]


def test_random_numbers_differ_between_runs():
    import random

    seen = []

    @osiris.check
    def check(config):
        seen.append(random.random())
        return ""

    for _ in range(2):
        random.seed(1)
        exported(check)
    assert seen[0] != seen[1]


def test_sockets_replace_the_standard_ones():
    import http.client
    import socket

    from osiris_sdk import sockets

    class Server:
        def __init__(self):
            self.sent, self.left = b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

        def read(self, length):
            part, self.left = self.left[:7], self.left[7:]
            return part

        def write(self, data):
            self.sent += data

        def start_tls(self, options):
            raise contract.refusal("AUTH", f"no certificate for {options.server_name}")

    before = socket.create_connection
    server = Server()

    @osiris.extractor
    def extract(config, output):
        sockets.install()
        connection = http.client.HTTPConnection("example.com", 80, timeout=3)
        connection.request("GET", "/")
        output.write("main", {"body": connection.getresponse().read().decode()})
        with pytest.raises(OSError, match="not granted"):
            sockets.connect("example.com", 81)
        with pytest.raises(osiris.AuthError, match="no certificate for a"):
            sockets.connect("example.com", 80).start_tls("a")

    try:
        result = run(extract, tcp={"example.com:80": server})
    finally:
        socket.create_connection = before
    assert result.rows() == [{"body": "hello"}] and server.sent.startswith(b"GET / HTTP/1.1\r\n")


def test_drivers_outside_of_a_run_say_what_is_missing():
    with pytest.raises(RuntimeError, match="osiris_sdk.testing.run"):
        osiris.step_id()
