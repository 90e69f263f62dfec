"""sqlite.extractor reads what SQLite stores: each value unchanged, or an error. Python's own SQLite says what is right."""

import datetime
import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading

import duckdb
import pytest


def make(project, script: str = "", name: str = "app.db", rows=(), **pragmas):
    """A new database; `rows` are inserted into the table `t`."""
    path = project.folder / name
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        for pragma, value in pragmas.items():
            connection.execute(f"pragma {pragma} = {value}")
        connection.executescript(script)
        for row in rows:
            connection.execute(f"insert into t values ({', '.join('?' * len(row))})", row)
    connection.close()
    return path


def step(id: str = "read", **config) -> dict:
    return {"id": id, "component": "sqlite.extractor", "needs": [], "config": {"path": "app.db", **config}}


def read(project, **config):
    return project.run([step(**config)])


def rows(project, **config):
    return project.rows(read(project, **config), "read")


def error(project, **config) -> str:
    failed = project.run([step(**config)], expect=1)["step"]["read"]["error"]
    assert failed["blame"] == "user", failed
    return failed["message"]


def warnings(result) -> str:
    return str(result["step"]["read"]["warnings"])


def test_every_storage_class_arrives_unchanged(project):
    values = [
        (1, -1, 2**63 - 1, 1.5, "é\n\"", b"\x00\xff'\\a", 1, "2024-02-29", 5, None),
        (2, 0, -(2**63), 1e300, "", b"", 0, "", 2**53, None),
        (7, 128, 2**53 + 1, 3.0, None, None, None, None, None, None),
        (9, -32769, -(2**47), float("inf"), "x" * 70_000, bytes(70_000), 1, "now", -1, None),
    ]
    make(project, 'create table t(id integer primary key, small int, "big one" bigint, r double, s varchar(10), b blob, f boolean, d date, n numeric, empty)', rows=values)
    result = read(project)
    assert project.types(result, "read") == {
        "id": "BIGINT", "small": "BIGINT", "big one": "BIGINT", "r": "DOUBLE", "s": "VARCHAR", "b": "BLOB", "f": "BOOLEAN", "d": "VARCHAR", "n": "BIGINT", "empty": "VARCHAR",
    }
    assert project.rows(result, "read") == values


@pytest.mark.parametrize("pragmas", [{}, {"page_size": 512}, {"page_size": 65536}, {"encoding": "'UTF-16le'"}, {"encoding": "'UTF-16be'", "page_size": 1024}, {"auto_vacuum": 1}])
def test_rows_of_any_size_are_read_in_order_from_any_layout(project, pragmas):
    random.seed(7)
    data = [(n * 3, random.randint(-(2**63), 2**63 - 1) >> random.randint(0, 63), "é" * int(random.expovariate(0.002)), random.random()) for n in range(3000)]
    path = make(project, "create table t(id integer primary key, v int, s text, r real); create table k(s text, id int, v, primary key(v, id)) without rowid", rows=data, **pragmas)
    with sqlite3.connect(path) as connection:
        connection.execute("insert into k select s, id, v from t")
        connection.execute("delete from t where id % 7 = 0 or id between 3000 and 4000")
        connection.execute("delete from k where id % 5 = 0")
    result = project.run([step("rowid", table="t"), step("keyed", table="k")])
    with sqlite3.connect(path) as connection:
        assert project.rows(result, "rowid") == connection.execute("select * from t order by id").fetchall()
        assert project.rows(result, "keyed") == connection.execute("select * from k order by v, id").fetchall()


def test_old_rows_have_the_defaults_of_new_columns(project):
    make(project, """create table t(a); insert into t values (1); alter table t add column b text default 'it''s'; alter table t add column c int not null default -5;
        alter table t add column d default x'00ff'; alter table t add column e; insert into t values (2, 'x', 3, x'01', 4)""")
    assert rows(project) == [(1, "it's", -5, b"\x00\xff", None), (2, "x", 3, b"\x01", 4)]


def test_columns_that_are_computed_are_left_out_unless_they_are_stored(project):
    make(project, "create table t(a int, b int as (a + 1), c int generated always as (a * 2) stored, d); insert into t(a, d) values (1, 'x')")
    result = read(project)
    assert project.rows(result, "read") == [(1, 2, "x")] and "'b'" in warnings(result).replace('"', "'")
    assert "column `b` is computed" in error(project, columns=["b"])


def test_tables_and_columns_are_found_by_each_of_their_spellings(project):
    make(project, 'create table "Or.ders"("Id" int, "a b" text); insert into "Or.ders" values (1, \'x\'); create table [two](x); create view v as select 1')
    for table in ("Or.ders", '"or.ders"', 'main."Or.ders"', "[Or.ders]"):
        assert rows(project, table=table, columns=["a b", "ID"]) == [("x", 1)]
    for config, words in [
        ({}, "its tables: `Or.ders`, `two`"), ({"table": "three"}, "its tables: `Or.ders`, `two`"), ({"table": "two", "columns": ["y"]}, "it has: `x`"),
        ({"table": "two", "dtype": {"y": "DATE"}}, "`x`"), ({"table": "v"}, "is a view"), ({"table": "two", "query": "from two"}, "not both"),
        ({"query": "from two", "limit": 1}, "go with `table`"), ({"table": "sqlite_schema"}, "no table"),
    ]:
        assert words in error(project, **config), config


def test_a_value_that_does_not_fit_is_never_changed_without_a_word(project):
    make(project, "create table t(i int, f boolean, n numeric, b blob)", rows=[(1, 1, 5, b"x"), ("x", 2, "y", b"y"), (1.5, 0, 2.5, b"z")])
    assert "declared as int, has values that do not fit: 1 real numbers, first in row 3; 1 texts, first in row 2" in error(project, columns=["i"])
    assert "1 integers other than 0 and 1, first in row 2" in error(project, columns=["f"])
    assert "1 integers, first in row 1; 1 real numbers, first in row 3; 1 texts, first in row 2" in error(project, columns=["n"])
    text = read(project, columns=["i", "f", "n"], on_misfit="text")
    assert project.rows(text, "read") == [("1", "1", "5"), ("x", "2", "y"), ("1.5", "0", "2.5")] and "first in row 2" in warnings(text)
    blank = read(project, columns=["i", "f"], on_misfit="blank")
    assert project.rows(blank, "read") == [(1, True), (None, None), (None, False)] and "first in row 3" in warnings(blank)
    make(project, "create table t(r real, n numeric, s text)", rows=[(1, 2**53 + 1, "a"), (2**60, 0.5, b"\xff")])
    assert rows(project, columns=["r"]) == [(1.0,), (float(2**60),)]
    assert "integers beyond a DOUBLE" in error(project, columns=["n"])
    assert "1 blobs" in error(project, columns=["s"], on_misfit="text") and rows(project, columns=["s"], dtype={"s": "BLOB"}) == [(b"a",), (b"\xff",)]


def test_a_declared_type_reads_dates_and_decimals_exactly(project):
    make(project, "create table t(d date, m datetime, p decimal(10,2), s)", rows=[("2024-02-29", "2024-02-29 10:00:00", 9.99, "1"), (None, "2024-02-29T10:00:00Z", 10, "2")])
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 10)
    result = read(project, dtype={"d": "DATE", "m": "TIMESTAMP", "p": "DECIMAL(10,2)", "s": "INTEGER"})
    assert project.rows(result, "read", "select d, m, p::varchar, s from main") == [(day, moment, "9.99", 1), (None, moment, "10.00", 2)]
    assert "row 1 of table `t`" in error(project, dtype={"p": "DECIMAL(3,1)"}) and "NUMBRE" in error(project, dtype={"p": "NUMBRE"})


def test_a_text_that_is_not_valid_is_an_error(project):
    make(project, "create table t(s text); insert into t values (cast(x'61ff' as text))")
    assert "row 1 of table `t` has in `s` a text that is not valid" in error(project)
    assert rows(project, dtype={"s": "BLOB"}) == [(b"a\xff",)]


def test_a_select_reads_the_tables_that_it_names(project):
    make(project, """create table orders(id integer primary key, customer int, amount real, note blob); create table customers(id integer primary key, name text);
        insert into orders values (1, 1, 9.5, x'00ff'), (2, 2, 9e999, null), (9007199254740993, 1, 0.1, null); insert into customers values (1, 'Ada'), (2, 'é "x"')""")
    assert rows(project, query='select name, sum(amount) as total from orders o join "customers" c on c.id = o.customer group by all order by 1; -- end') == [("Ada", 9.6), ('é "x"', float("inf"))]
    assert rows(project, query="with big as (from orders where id > 5) select id, note from big union all select id, note from orders where id = 1") == [(9007199254740993, None), (1, b"\x00\xff")]
    assert rows(project, query="select count(*) from orders") == [(3,)]


ATTACKS = [
    "attach 'other.db' as o", "pragma writable_schema = 1", "select load_extension('x') from t", "from t; drop table t", "insert into t values (1)", "from v", "from f",
    "from sqlite_schema", "from sqlite_scan('app.db', 't')", "select * from t, read_text('/etc/passwd')", "select getenv('HOME') from t", "copy t to 'x'", "select 1", "from t) union all (from t",
    "from t, read_blob('secret.txt')", "select * from t, duckdb_settings()",
]


def test_nothing_of_the_file_is_run_and_a_select_reaches_nothing_else(project):
    make(project, """create table t(a int); insert into t values (1); create view v as select load_extension('x') from t; create virtual table f using fts5(x);
        create trigger r after insert on t begin select load_extension('x'); end; create table evil(a default (load_extension('x')))""")
    project.write("secret.txt", "secret")
    before = (project.folder / "app.db").read_bytes()
    result = project.run([step(f"a{n}", query=query) for n, query in enumerate(ATTACKS)] + [step("good", table="t"), step("evil", table="evil"), step("virtual", table="f")], expect=1)
    allowed = ["from t) union all (from t"]
    assert [query for n, query in enumerate(ATTACKS) if result["step"][f"a{n}"]["status"] == "success"] in ([], allowed)
    assert project.rows(result, "good") == [(1,)] and project.rows(result, "evil") == []
    assert "virtual table" in result["step"]["virtual"]["error"]["message"]
    assert (project.folder / "app.db").read_bytes() == before


@pytest.fixture
def busy(project):
    """A database in WAL mode that a program has open, with changes that are only in its log."""
    path = make(project, "create table t(a int, s text); insert into t values (1, 'old')")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma wal_autocheckpoint = 0")
    connection.executescript("update t set s = 'new'; insert into t select value, 'x' from (with recursive r(value) as (select 2 union all select value + 1 from r where value < 3000) select * from r)")
    yield connection
    connection.close()


def test_the_log_beside_a_file_has_its_latest_changes(project, busy):
    assert (project.folder / "app.db-wal").stat().st_size > 30_000
    summary = "select count(*), sum(a), min(s), any_value(s order by a) from main"
    assert project.rows(read(project), "read", summary) == [(3000, 4501500, "new", "new")]
    busy.executescript("begin; insert into t values (9, 'not committed'); delete from t where a > 5")
    assert project.rows(read(project), "read", summary) == [(3000, 4501500, "new", "new")]
    busy.execute("commit")
    assert project.rows(read(project), "read", summary) == [(5, 15, "new", "new")]
    log = (project.folder / "app.db-wal").read_bytes()
    shutil.copy(project.folder / "app.db", project.folder / "copy.db")
    copy = project.folder / "copy.db-wal"
    # Without the log the last changes are missing; a cut or damaged log counts up to its last whole transaction.
    assert rows(project, path="copy.db") == [(1, "old")]
    for content, count in [(log, 5), (log[:-1], 3000), (log[:-5000] + bytes(5000), 3000), (log[:20], 1), (b"", 1), (os.urandom(9000), 1), (log[:40] + b"\0" + log[41:], 1)]:
        copy.write_bytes(content)
        assert project.rows(read(project, path="copy.db"), "read", "select count(*) from main") == [(count,)], content[:50]
    copy.write_bytes(log[:8] + struct.pack(">I", 512) + log[12:])
    assert rows(project, path="copy.db") == [(1, "old")]
    busy.execute("pragma wal_checkpoint(truncate)")
    assert project.rows(read(project), "read", "select count(*) from main") == [(5,)]


def test_a_step_may_read_only_the_companions_of_its_own_file(project, busy):
    text = project.osiris("plan", str(project.pipeline([step()]))).stdout
    assert "read `app.db`" in text and "read `app.db-wal`, if it is there" in text and "read `app.db-journal`, if it is there" in text
    make(project, "create table t(a); insert into t values (1)", "plain.db")
    outside = project.folder.parent / "outside-wal"
    outside.write_bytes((project.folder / "app.db-wal").read_bytes())
    (project.folder / "plain.db-wal").symlink_to(outside)
    project.pipeline([step(path="plain.db")])
    refused = project.osiris("run", "pipeline.yaml")
    assert refused.returncode == 2 and "plain.db-wal" in refused.stderr
    (project.folder / "plain.db-wal").unlink()
    assert rows(project, path="plain.db") == [(1,)]


def test_an_unfinished_transaction_beside_a_file_is_an_error(project):
    path = make(project, "create table t(a int); insert into t values (1)")
    journal = project.folder / "app.db-journal"
    journal.write_bytes(bytes.fromhex("d9d505f920a163d7") + bytes(600))
    failed = project.run([step()], expect=1)["step"]["read"]["error"]
    assert "app.db-journal" in failed["message"] and "a transaction has not ended" in failed["message"]
    for content in (b"", bytes(600)):
        journal.write_bytes(content)
        assert rows(project) == [(1,)]
    assert path.exists()


WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute(f"pragma journal_mode = {sys.argv[2]}")
connection.execute("pragma cache_size = 5")
for n in range(10**9):
    connection.execute("update t set v = ?", (n,))
    print(flush=True)
    time.sleep(float(sys.argv[3]))
"""


@pytest.mark.parametrize(("mode", "pause"), [("delete", 0.3), ("wal", 0.05), ("persist", 0.3)])
def test_a_step_sees_one_state_of_a_file_that_is_written_to_or_fails(project, mode, pause):
    path = make(project, "create table t(id integer primary key, v int, s text)", rows=[(n, 0, "x" * 100) for n in range(20_000)])
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path), mode, str(pause)], stdout=subprocess.PIPE) as writer:
        try:
            writer.stdout.readline()
            outcomes = []
            for _ in range(8):
                project.pipeline([step()])
                result = json.loads(project.osiris("run", "pipeline.yaml", "--json").stdout)
                outcomes.append(result["steps"][0])
                if outcomes[-1]["status"] == "success":
                    assert project.rows(result, "read", "select count(*), count(distinct v) from main") == [(20_000, 1)]
                else:
                    assert any(words in outcomes[-1]["error"]["message"] for words in ("changed by another program", "has not ended")), outcomes[-1]
        finally:
            writer.kill()


def test_a_file_that_is_touched_while_it_is_read_is_an_error_that_can_be_tried_again(project):
    path = make(project, "create table t(a int); insert into t values (1)")
    ended = threading.Event()

    def touch():
        while not ended.wait(0.001):
            os.utime(path)

    toucher = threading.Thread(target=touch)
    toucher.start()
    try:
        failed = project.run([step()], expect=1)["step"]["read"]["error"]
    finally:
        ended.set()
        toucher.join()
    assert "`app.db` was changed by another program while the step read it" in failed["message"] and failed["kind"] == "busy", failed
    assert rows(project) == [(1,)]


def changed(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new):]


def test_a_damaged_file_is_a_clear_error(project):
    make(project, "create table t(a int, s text)", rows=[(n, "x" * 3000) for n in range(300)], page_size=1024)
    whole = (project.folder / "app.db").read_bytes()
    page = lambda n: (n - 1) * 1024  # noqa: E731
    with sqlite3.connect(project.folder / "app.db") as connection:
        root = connection.execute("select rootpage from sqlite_schema").fetchone()[0]
    cells = lambda n, at: struct.unpack(">H", whole[page(n) + at : page(n) + at + 2])[0]  # noqa: E731
    cell = cells(root, 12)
    child = leaf = struct.unpack(">I", whole[page(root) + cell : page(root) + cell + 4])[0]
    while whole[page(leaf)] == 5:
        leaf = struct.unpack(">I", whole[page(leaf) + cells(leaf, 12) :][:4])[0]
    first = cells(leaf, 8)
    overflow = whole.index(b"x" * 1020) - 4
    damaged = {
        "empty": (b"", "is empty"), "text": (b"a,b\n1,2\n", "not a SQLite file"), "long text": (b"a,b\n1,2\n" * 90, "not a SQLite file, or it is encrypted"),
        "cut": (whole[: len(whole) // 2], "cut short"), "cut by a byte": (whole[:-1], "cut short"), "header alone": (whole[:100], "cut short"),
        "page size": (changed(whole, 16, b"\x03\x00"), "header is damaged"), "page size of another": (changed(whole, 16, b"\x10\x00"), "cut short"),
        "reserved": (changed(whole, 20, b"\xff"), "damaged"), "version": (changed(whole, 19, b"\x09"), "newer format"), "encoding": (changed(whole, 56, b"\0\0\0\x09"), "header is damaged"),
        "root of another kind": (changed(whole, page(root), b"\x02"), "is not one of the table"), "circle": (changed(whole, page(root) + cell, struct.pack(">I", root)), "occurs twice"),
        "same child": (changed(whole, page(root) + 8, struct.pack(">I", child)), "occurs twice"), "page out of reach": (changed(whole, page(root) + 8, b"\xff\xff\xff\xff"), "refers to page 4294967295"),
        "page zero": (changed(whole, page(root) + 8, bytes(4)), "page 0"), "many cells": (changed(whole, page(leaf) + 3, b"\xff\xff"), "damaged"),
        "cell out of reach": (changed(whole, page(leaf) + 8, b"\xff\xff"), "damaged"), "endless row": (changed(whole, page(leaf) + first, b"\xff" * 8 + b"\x7f"), "damaged"),
        "huge row": (changed(whole, page(leaf) + first, b"\x9f\xff\xff\xff\x7f"), "more than the 24 MiB"),
        "chain of itself": (changed(whole, overflow, struct.pack(">I", overflow // 1024 + 1)), "occurs twice"), "chain to the header": (changed(whole, overflow, struct.pack(">I", 1)), ""),
        "no definition": (whole.replace(b"CREATE TABLE t(a int, s text)", b"CREATE TRIGER t(a int, s text)"), "definition of table `t` cannot be read"),
    }
    for name, (content, _) in damaged.items():
        (project.folder / f"{name}.db").write_bytes(content)
    result = project.run([step(f"s{n}", path=f"{name}.db", table="t") for n, name in enumerate(damaged)], expect=1)
    for n, (name, (_, words)) in enumerate(damaged.items()):
        outcome = result["step"][f"s{n}"]
        assert words == "" or (outcome["status"] == "failed" and words in outcome["error"]["message"] and f"{name}.db" in outcome["error"]["message"]), (name, outcome)


def test_no_damage_makes_the_driver_abort(project):
    random.seed(11)
    make(project, "create table t(a int, s text, b blob default x'00'); create table k(a text primary key, b) without rowid", rows=[(n, "y" * random.randint(0, 2000), bytes(n % 50)) for n in range(200)], page_size=512)
    with sqlite3.connect(project.folder / "app.db") as connection:
        connection.execute("insert into k select 'k' || rowid, s from t")
    whole = (project.folder / "app.db").read_bytes()
    steps = []
    for n in range(40):
        content = bytearray(whole)
        for _ in range(random.choice([1, 3, 30])):
            at = random.choice([random.randrange(len(content)), random.randrange(1024), random.randrange(len(content) // 512) * 512 + random.randrange(16)])
            content[at] = random.randrange(256)
        (project.folder / f"{n}.db").write_bytes(content)
        steps.append(step(f"s{n}", path=f"{n}.db", table=random.choice(["t", "k"]), on_misfit="blank"))
    result = project.run(steps, expect=1)
    outcomes = [result["step"][f"s{n}"] for n in range(40)]
    assert {outcome["status"] for outcome in outcomes} == {"success", "failed"}
    for outcome in outcomes:
        assert outcome["status"] == "success" or outcome["error"]["blame"] == "user", outcome


def test_copy_moves_a_table_into_a_duckdb_file(project):
    make(project, "create table orders(id integer primary key, name text); insert into orders values (1, 'x'), (2, null)")
    done = project.osiris("copy", "app.db#orders", "warehouse.duckdb")
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(project.folder / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("from orders order by id").fetchall() == [(1, "x"), (2, None)]
