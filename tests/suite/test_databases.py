"""What the drivers of both databases promise alike: the flights, incremental reads, and everything that can go
wrong."""

import json
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from cut_proxy import CutProxy
from shops import (  # noqa: F401: fixtures
    FACTS, PASSWORD, Increments, MysqlShop, PostgresShop, alone, mariadb, mysql_alone, mysql_shop, postgres, postgres_alone, postgres_shop, shop,
)  # fmt: skip

# What `numbers` returns on a server, in DuckDB.
SOURCE = "select i::int as id, repeat('x', 100) as t from range(1, 50001) r(i)"


# ---- The flights


def test_the_flights_are_extracted_joined_and_written_back(shop):
    shop.load_flights()
    join = "select name, count(*) as flights, round(avg(arr_delay), 4) as delay from flights join airlines using (carrier) group by name"
    result = shop.run([
        shop.extract("flights", table="flights"),
        shop.extract("airlines", table="airlines"),
        {"id": "join", "component": "duckdb.processor", "needs": ["flights", "airlines"], "config": {"query": join}},
        shop.write("join", table="by_carrier", mode="replace", primary_key=["name"]),
        {**shop.write("flights", table="flights_back", mode="replace"), "id": "write-flights"},
    ])  # fmt: skip
    assert result["step"]["flights"]["rows"] == result["step"]["write-flights"]["rows"] == FACTS["flights_rows"]
    assert shop.project.types(result, "flights") == FACTS["flights_types"]
    sums = "select sum(dep_delay), count(*) - count(dep_delay) from {}"
    assert shop.project.rows(result, "flights", sums.format("main")) == [(FACTS["dep_delay"]["sum"], FACTS["dep_delay"]["nulls"])]
    assert shop.sql(sums.format("flights_back")) == [(FACTS["dep_delay"]["sum"], FACTS["dep_delay"]["nulls"])]
    assert sorted(list(row) for row in shop.sql("select name, flights, delay from by_carrier")) == FACTS["by_carrier"]
    for one, other in [("flights", "flights_back"), ("flights_back", "flights")]:
        assert shop.sql(f"select count(*) from (select * from {one} except all select * from {other}) d") == [(0,)]


@pytest.mark.parametrize("on", ["id", "name", "price", "nothing"])
def test_simultaneously_read_parts_are_all_rows_and_none_twice(shop, on):
    kinds = {"postgres": ("text", "numeric(9,2)", "int8"), "mysql": ("varchar(20)", "decimal(9,2)", "signed")}[shop.family]
    shop.sql(f"create table t (id bigint, name {kinds[0]}, price {kinds[1]}, nothing int)")
    shop.sql(f"insert into t select cast(id as {kinds[2]}) - 5001, case when id % 3 > 0 then concat('n', id) end, id / 4, null from ({shop.numbers(10_001)}) n")
    for what in ({"table": "t"}, {"query": "select * from t"}):
        result = shop.run([shop.extract(partitions=3, partition_on=on, **what)])
        sums = shop.project.rows(result, "extract", "select count(*), count(distinct id), sum(id), count(name) from main")
        assert sums == [(10_001, 10_001, 0, 6668)]
    for wrong in ({}, {"partition_on": "nix"}, {"partition_on": "id", "limit": 5}):
        error = shop.read(expect=1, table="t", partitions=2, **wrong)
        assert error.startswith("config") and ("partition" in error or "`nix`" in error), error


def test_a_table_is_read_and_written_in_bounded_memory(shop):
    shop.sql(f"create table t as {shop.numbers(1_000_000)}")
    result = shop.run([shop.extract(table="t"), shop.write("extract")], "--engine-memory", "64MB", "--guest-memory", "32MB")
    assert result["step"]["extract"]["rows"] == result["step"]["write"]["rows"] == 1_000_000
    assert shop.sql("select count(*), sum(id) from target") == [(1_000_000, 500_000_500_000)]


# ---- Increments


@pytest.mark.parametrize("key", ["primary key", ""])
def test_ties_on_the_cursor_are_neither_lost_nor_duplicated(shop, key):
    shop.sql(f"create table log (id int {key}, at timestamp not null)")
    shop.sql("insert into log values (1, '2024-01-01'), (2, '2024-01-02'), (3, '2024-01-02')")
    increments = Increments(shop)
    assert increments.ids() == [1, 2, 3]
    assert increments.ids() == []
    shop.sql("insert into log values (4, '2024-01-02'), (5, '2024-01-03'), (6, '2024-01-03')")
    assert increments.ids() == [4, 5, 6]
    shop.sql("insert into log values (7, '2024-01-03')")
    assert increments.ids() == [7]
    # 9 is less than what was read, as it would be for any cursor.
    shop.sql("insert into log values (8, '2024-01-03'), (9, '2024-01-02')")
    assert increments.ids() == [8]
    assert increments.ids() == []


def test_equal_rows_without_a_key_are_counted(shop):
    shop.sql("create table log (at int not null, what varchar(9))", "insert into log values (1, 'a'), (1, 'a')")
    increments = Increments(shop)
    assert increments.run() == [(1, "a"), (1, "a")]
    shop.sql("insert into log values (1, 'a'), (1, null)")
    assert increments.run() == [(1, "a"), (1, None)]
    assert increments.run() == []


def test_an_empty_increment_keeps_the_state(shop):
    shop.sql("create table log (id int primary key, at int not null)")
    increments = Increments(shop)
    assert increments.run() == []
    shop.sql("insert into log values (1, 10)")
    assert increments.run() == [(1, 10)]
    before = increments.state()
    assert increments.run() == [] and increments.run() == []
    assert shop.project.types(increments.result, "extract") == {"id": "INTEGER", "at": "INTEGER"}
    after = increments.state()
    assert before == after and "10" in json.dumps(after), (before, after)


def test_the_first_increment_starts_where_it_is_told(shop):
    shop.sql("create table log (id int primary key, at date not null)")
    shop.sql("insert into log values " + ", ".join(f"({day}, '2024-01-{day:02}')" for day in range(1, 11)))
    increments = Increments(shop, initial="2024-01-08", columns=["at"])
    assert len(increments.run()) == 3
    assert increments.run() == []


def test_rows_without_a_cursor_value_are_handled_as_configured(shop):
    shop.sql("create table log (id int, at int)", "insert into log values (1, 5), (2, null), (3, 4)")
    refused = Increments(shop).run(expect=1)
    assert refused.startswith("data") and "`at`" in refused and "null_cursor" in refused
    skipped = Increments(shop, null_cursor="skip", initial=5)
    assert skipped.run() == [(1, 5)]
    assert "rows without a cursor are not read" in json.dumps(skipped.result["step"]["extract"]["warnings"])
    included = Increments(shop, null_cursor="include")
    assert included.run() == [(2, None)]
    shop.sql("insert into log values (4, 5)")
    assert included.run() == [(2, None), (4, 5)]


def test_more_ties_than_can_be_remembered_wait_for_a_larger_cursor(shop):
    shop.sql("create table log (id int primary key, at int not null)", "insert into log values (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)")
    increments = Increments(shop)
    assert increments.ids() == [1, 2, 3, 4, 5]
    shop.sql("insert into log values (6, 1), (7, 1), (8, 1)", f"insert into log select id, 2 from ({shop.numbers(25_000)}) n where id > 10")
    assert increments.ids() == [6, 7, 8]
    assert increments.ids() == []
    assert "more rows share the largest cursor value" in json.dumps(shop.project.events(increments.result)) + increments.result["stderr"]
    shop.sql("insert into log values (30000, 3)")
    assert increments.ids() == [*range(11, 25001), 30000]
    assert increments.ids() == []


def test_a_run_that_fails_after_the_extractor_reads_the_same_again(shop):
    shop.sql("create table log (id int primary key, at int not null)", "insert into log values (1, 1)")
    increments = Increments(shop)
    assert increments.ids() == [1]
    shop.sql("insert into log values (2, 2)")
    broken = {"id": "later", "component": "duckdb.processor", "needs": ["extract"], "config": {"query": "select error('no') as e from extract"}}
    assert increments.ids(expect=1, after=[broken]) == [2]
    assert increments.ids(expect=1, after=[broken]) == [2]
    assert increments.ids() == [2]
    assert increments.ids() == []


def test_a_connection_cut_during_an_increment_keeps_the_old_state(shop):
    shop.sql("create table log (id int primary key, at int not null)", "insert into log values (0, 0)")
    increments = Increments(shop)
    assert increments.ids() == [0]
    shop.sql(f"insert into log select id, id from ({shop.numbers(50_000)}) n")
    with CutProxy(shop.server.port, down=300_000) as proxy:
        shop.connect(port=proxy.port, tls="disable")
        # Another port is another source, unless a person says that it is the same.
        assert shop.project.osiris("state", "accept", "extract").returncode == 0
        assert increments.run(expect=1).startswith("transient") and proxy.cuts == 1
    shop.connect()
    assert increments.ids() == [*range(1, 50_001)]
    assert increments.ids() == []


@pytest.mark.parametrize("config, told", [({"cursor": "nix"}, "`nix`"), ({"cursor": None}, "cursor"), ({"limit": 5}, "limit"), ({"replication": "full"}, "incremental")])
def test_invalid_increments_are_reported(shop, config, told):
    shop.sql("create table log (id int, at int not null)")
    whole = {"table": "log", "replication": "incremental", "cursor": "at"} | config
    error = shop.read(expect=1, **{name: value for name, value in whole.items() if value is not None})
    assert error.startswith("config") and told in error, error


def test_a_cursor_other_than_the_last_runs_is_refused(shop):
    shop.sql("create table log (id int not null, at int not null)", "insert into log values (1, 1)")
    Increments(shop).run()
    error = Increments(shop, cursor="id").run(expect=1)
    assert "`at`" in error and "osiris state reset" in error


def test_a_cursor_or_key_with_another_order_than_the_last_runs_is_refused(shop):
    change = "alter column at type" if shop.family == "postgres" else "modify at"
    shop.sql("create table log (id int primary key, at int)", "insert into log values (1, 9)")
    increments = Increments(shop)
    assert increments.ids() == [1]
    # As texts, 10 is less than 9.
    shop.sql(f"alter table log {change} bigint", "insert into log values (2, 10)")
    assert increments.ids() == [2]
    shop.sql(f"alter table log {change} varchar(9)", "insert into log values (3, '2')")
    error = increments.run(expect=1)
    assert error.startswith("config") and "numbers" in error and "osiris state reset" in error, error
    shop.sql("drop table log", "create table log (id int primary key, at int)", "insert into log values (2, 10)")
    keyless = Increments(shop)
    assert keyless.ids() == []
    shop.sql("alter table log " + ("drop constraint log_pkey" if shop.family == "postgres" else "drop primary key"))
    assert "told rows" in keyless.run(expect=1)


# ---- Writing


def test_append_adds_rows_and_replace_replaces_them(shop):
    shop.load("select 1 as a")
    shop.load("select 2 as a")
    assert shop.sql("select a from target order by a") == [(1,), (2,)]
    for _ in range(2):
        shop.load("select 3 as a", mode="replace")
        assert shop.sql("select a from target") == [(3,)]
    shop.load("select 3 as a where false", mode="replace")
    assert shop.sql("select a from target") == []


def test_an_upsert_twice_is_an_upsert_once(shop):
    shop.load("from (values (1, 'a'), (2, 'b')) v(id, t)", mode="upsert", primary_key=["id"])
    for _ in range(2):
        shop.load("from (values (2, 'B'), (3, 'c')) v(id, t)", mode="upsert", primary_key=["id"])
        assert shop.sql("select * from target order by id") == [(1, "a"), (2, "B"), (3, "c")]


# ---- The identity of the server


def test_tls_verifies_the_servers_identity(alone):
    certificates = alone.server.certificates
    trusted = {"host": "localhost", "tls": "verify-full", "ca": certificates.ca_text}
    alone.connect(**trusted)
    assert alone.read(query=alone.encrypted) == [(1,)]
    alone.connect(**trusted | {"ca": certificates.stranger.read_text()})
    assert alone.read(expect=1, query=alone.encrypted).startswith("auth")
    for mode, encrypted in [("disable", 0), ("prefer", 1), ("require", 1)]:
        alone.connect(tls=mode)
        assert alone.read(query=alone.encrypted) == [(encrypted,)]
    for name, told in [("expired", "expired"), ("misnamed", "")]:
        alone.server.stop()
        alone.server.show(getattr(certificates, name))
        alone.server.start()
        alone.connect(**trusted)
        error = alone.read(expect=1, query=alone.encrypted)
        assert error.startswith("auth") and "localhost" in error and told in error.lower(), error
        alone.connect(host="localhost", tls="require")
        assert alone.read(query=alone.encrypted) == [(1,)]
    alone.connect(tls="require", ca=certificates.ca_text)
    assert "verify-full" in alone.read(expect=1, query=alone.encrypted)


@pytest.mark.parametrize(("kind", "settings"), [(PostgresShop, {}), (MysqlShop, {"skip-ssl": "1"})], ids=["postgres", "mysql"])
def test_tls_refused_by_the_server_is_reported(project, kind, settings):
    server = kind.Server(Path(tempfile.mkdtemp(prefix="osiris-without-tls-")), None, settings)
    try:
        shop = kind(project, server.start())
        assert shop.read(query="select 1 as a") == [(1,)]
        for mode in ("require", "verify-full"):
            shop.connect(tls=mode)
            error = shop.read(expect=1, query="select 1 as a")
            assert error.startswith("auth") and "no TLS" in error and mode in error, error
    finally:
        server.remove()


def test_a_wrong_login_is_reported_without_its_secret(shop):
    result = shop.run([shop.extract(query="select 1 as a")], expect=1, password="wr0ng-s3cret")
    error = shop.error(result, "extract")
    assert error.startswith("auth") and "`osiris`" in error and str(shop.server.port) in error, error
    session = Path(result["session_path"])
    said = json.dumps(result) + "".join(path.read_text(errors="replace") for path in session.rglob("*") if path.is_file())
    assert "wr0ng-s3cret" not in said and str(shop.server.port) in said


def test_a_server_that_is_not_a_database_is_reported(shop):
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        try:
            while True:
                client, _ = listener.accept()
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                client.close()
        except OSError:
            pass

    threading.Thread(target=answer, daemon=True).start()
    try:
        for mode in ("prefer", "disable"):
            shop.connect(port=listener.getsockname()[1], tls=mode)
            error = shop.read(expect=1, query="select 1 as a")
            assert "protocol" in error or "closed" in error, error
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_the_doctor_reports_what_is_wrong(shop):
    def doctor(password: str = PASSWORD) -> tuple[int, dict]:
        done = shop.osiris("connections", "doctor", "--json", password=password)
        (found,) = json.loads(done.stdout)
        return done.returncode, found

    code, found = doctor()
    assert code == 0 and found["ok"] and found["category"] == "ok" and found["latency_ms"] >= 0, found
    assert {"postgres": "PostgreSQL 1", "mysql": "MariaDB"}[shop.family] in found["message"]
    assert found["message"].endswith("over TLS"), found
    shop.connect(tls="disable")
    assert doctor()[1]["message"].endswith("not encrypted")
    code, found = doctor("wr0ng-s3cret")
    assert code == 1 and found["category"] == "auth" and "wr0ng" not in json.dumps(found), found
    with CutProxy(shop.server.port, down=5, stall=True) as silent:
        shop.connect(port=silent.port, connect_timeout=1)
        assert doctor()[1]["category"] == "timeout"
    shop.connect(port=silent.port)
    code, found = doctor()
    assert code == 1 and found["category"] == "network" and str(silent.port) in found["message"], found


def test_a_fingerprint_changes_only_with_shapes(shop):
    def discover() -> dict:
        done = shop.osiris("discover", f"@{shop.family}.shop", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    shop.sql("create table b (id int primary key, t varchar(9))", "create table a (id int)")
    first = discover()
    assert [table["name"] for table in first["tables"]] == ["a", "b"]
    assert first["tables"][1]["primary_key"] == ["id"] and [column["name"] for column in first["tables"][1]["columns"]] == ["id", "t"]
    shop.sql("insert into a values (1), (2)", "insert into b values (1, 'x')")
    assert discover()["fingerprint"] == first["fingerprint"]
    shop.sql("alter table a add column more int")
    assert discover()["fingerprint"] != first["fingerprint"]
    shop.sql("alter table a drop column more")
    assert discover()["fingerprint"] == first["fingerprint"]


# ---- Faults


@pytest.mark.parametrize("cut", [10, 500, 20_000, 3_000_000])
def test_a_connection_cut_while_reading_leaves_no_table_and_a_retry_succeeds(shop, cut):
    shop.sql(f"create table t as {shop.numbers(50_000)}")
    with CutProxy(shop.server.port, down=cut) as proxy:
        shop.connect(port=proxy.port, tls="disable")
        result = shop.run([shop.extract(table="t")], expect=1)
        error = shop.error(result, "extract")
        assert proxy.cuts >= 1 and error.startswith("transient") and "closed the connection" in error and str(proxy.port) in error, error
        assert not (Path(result["session_path"]) / "data" / "extract.duckdb").exists()
        proxy.lift()
        assert len(shop.read(table="t")) == 50_000


@pytest.mark.parametrize("mode", ["append", "replace", "upsert", "delete_insert"])
@pytest.mark.parametrize("cut", [300, 100_000, 2_500_000])
def test_a_connection_cut_while_writing_leaves_the_table_as_it_was(shop, mode, cut):
    shop.sql("create table target (id int primary key, t text)", "insert into target values (0, 'old')")
    with CutProxy(shop.server.port, up=cut) as proxy:
        shop.connect(port=proxy.port, tls="disable")
        config = {"mode": mode, "primary_key": ["id"]}
        error = shop.load(SOURCE, expect=1, **config)
        assert proxy.cuts >= 1 and error.startswith("transient"), error
        assert shop.sql("select * from target") == [(0, "old")]
        proxy.lift()
        shop.load(SOURCE, **config)
        kept = [(50_000, 50_000, 1)] if mode == "replace" else [(50_001, 50_001, 0)]
        assert shop.sql("select count(*), count(distinct id), min(id) from target") == kept


def test_a_server_killed_while_reading_and_while_writing(alone):
    alone.sql(f"create table t as {alone.numbers(50_000)}")
    alone.sql("create table target (id int primary key, t text)", "insert into target values (0, 'old')")
    port = alone.server.port
    with CutProxy(port, down=2_000_000, then=alone.server.kill) as proxy:
        alone.connect(port=proxy.port, tls="disable")
        result = alone.run([alone.extract(table="t")], expect=1)
        error = alone.error(result, "extract")
        assert proxy.cuts == 1 and error.startswith("transient") and str(proxy.port) in error, error
        assert not (Path(result["session_path"]) / "data" / "extract.duckdb").exists()
    alone.server.start()
    for mode in ({"mode": "append"}, {"mode": "replace"}, {"mode": "delete_insert", "range_key": "id"}):
        with CutProxy(port, up=2_000_000, then=alone.server.kill) as proxy:
            alone.connect(port=proxy.port, tls="disable")
            error = alone.load(SOURCE, expect=1, **mode)
            assert proxy.cuts == 1 and error.startswith("transient") and str(proxy.port) in error, error
        alone.server.start()
        assert alone.sql("select * from target") == [(0, "old")]
    alone.connect()
    assert len(alone.read(table="t")) == 50_000
    alone.load(SOURCE)
    assert alone.sql("select count(*), count(distinct id) from target") == [(50_001, 50_001)]


def test_a_slow_or_silent_server_is_not_waited_for_forever(shop):
    shop.connect(timeout=1)
    assert shop.read(expect=1, query=f"select {shop.sleep.format(20)} as a").startswith("timeout")
    with CutProxy(shop.server.port, down=5, stall=True) as proxy:
        shop.connect(port=proxy.port, connect_timeout=1, tls="disable")
        error = shop.read(expect=1, query="select 1 as a")
        assert error.startswith("timeout") and str(proxy.port) in error, error
    shop.connect(port=proxy.port)
    error = shop.read(expect=1, query="select 1 as a")
    assert error.startswith("transient") and str(proxy.port) in error, error
