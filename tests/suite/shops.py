"""A shop's database on a real server, and a project whose connection leads to it: PostgreSQL and MariaDB behind one interface.

Fixtures: `postgres_shop` and `mysql_shop` (a database of its own on the session's server), `postgres_alone` and
`mysql_alone` (a server of its own, which the test may stop), and `shop` and `alone`, which run a test on each.
"""

import csv
import gzip
import itertools
import json
import tempfile
from pathlib import Path

import pytest
from certificates import make_certificates
from conftest import DATA, ROOT
from mariadb_server import MariaDbServer, mariadb  # noqa: F401: a fixture
from postgres_server import PASSWORD, PostgresServer, postgres  # noqa: F401: a fixture

NAMES = itertools.count(1)
FACTS = json.loads((ROOT / "tests" / "facts.json").read_text())
WHOLE_NUMBERS = "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time distance hour minute".split()
FLIGHTS = "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum origin dest air_time distance hour minute time_hour".split()


class Shop:
    """A database, and a project whose connection `@{family}.shop` leads to it."""

    Server: type
    family: str
    # The connection's name for the choice of encryption.
    tls: str
    # A SELECT that shows whether its connection is encrypted, and an expression that waits that many seconds.
    encrypted: str
    sleep: str
    # Its types for an integer, a timestamp and a short text.
    whole: str
    moment: str
    text: str

    def __init__(self, project, server, database: str = "shop"):
        self.project, self.server, self.database = project, server, database
        self.connect()

    def connect(self, tls: str | None = None, **fields) -> None:
        """Writes the connection, with other fields if a test needs them."""
        fields = {"database": self.database, "password": "${SHOP_PASSWORD}", "private_network": True, self.tls: tls} | fields
        self.project.write("osiris_connections.yaml", json.dumps({"connections": {self.family: {"shop": self.server.connection(**fields)}}}))

    def sql(self, *statements: str) -> list[tuple]:
        """Runs statements on the server; returns the rows of the last."""
        raise NotImplementedError

    def numbers(self, rows: int) -> str:
        """A SELECT of `id` from 1 to `count`, and a text `t` of 100 bytes."""
        raise NotImplementedError

    def fill(self, table: str, file) -> None:
        """Fills a table with the rows of an open CSV file, whose header names the columns and whose nulls are `NA`."""
        raise NotImplementedError

    def load_flights(self) -> None:
        """Creates the tables `flights` and `airlines`."""
        kind = lambda name: self.whole if name in WHOLE_NUMBERS else self.moment if name == "time_hour" else self.text  # noqa: E731
        columns = ", ".join(f"{name} {kind(name)}" for name in FLIGHTS)
        self.sql(f"create table flights ({columns})", f"create table airlines (carrier {self.text} primary key, name text)")
        for table, file in [("flights", gzip.open(DATA / "flights.csv.gz", "rt")), ("airlines", open(DATA / "airlines.csv"))]:
            with file:
                self.fill(table, file)

    def extract(self, id: str = "extract", **config) -> dict:
        return {"id": id, "component": f"{self.family}.extractor", "needs": [], "config": {"connection": f"@{self.family}.shop"} | config}

    def write(self, needs: str = "source", **config) -> dict:
        config = {"connection": f"@{self.family}.shop", "table": "target"} | config
        return {"id": "write", "component": f"{self.family}.writer", "needs": [needs], "config": config}

    def run(self, steps, *arguments, expect: int = 0, password: str = PASSWORD) -> dict:
        return self.project.run(steps, *arguments, expect=expect, env={"SHOP_PASSWORD": password})

    def osiris(self, *arguments, password: str = PASSWORD):
        return self.project.osiris(*arguments, env={"SHOP_PASSWORD": password})

    def read(self, *arguments, expect: int = 0, **config):
        """Runs only an extractor; returns its error, or its rows in order."""
        result = self.run([self.extract(**config)], *arguments, expect=expect)
        return self.error(result, "extract") if expect else self.project.rows(result, "extract", "from main order by all")

    def load(self, sql: str, expect: int = 0, **config):
        """Runs a writer over the rows of DuckDB's `sql`; returns its error, if one is expected."""
        result = self.run([self.project.sql(sql), self.write(**config)], expect=expect)
        return self.error(result, "write") if expect else None

    @staticmethod
    def error(result: dict, step: str) -> str:
        error = result["step"][step]["error"]
        return f"{error['kind']}: {error['message']}"


class PostgresShop(Shop):
    Server, family, tls = PostgresServer, "postgres", "sslmode"
    whole, moment, text = "int8", "timestamptz", "text"
    encrypted, sleep = "select ssl::int as encrypted from pg_stat_ssl where pid = pg_backend_pid()", "pg_sleep({})::text"

    def sql(self, *statements: str) -> list[tuple]:
        with self.server.connect(self.database) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def numbers(self, rows: int) -> str:
        return f"select i as id, repeat('x', 100) as t from generate_series(1, {rows}) i"

    def fill(self, table: str, file) -> None:
        copy = f"copy {table} from stdin (format csv, header match, null 'NA')"
        with self.server.connect(self.database) as connection, connection.cursor().copy(copy) as sink:
            while block := file.read(1 << 20):
                sink.write(block)


class MysqlShop(Shop):
    Server, family, tls = MariaDbServer, "mysql", "ssl_mode"
    whole, moment, text = "bigint", "timestamp null", "varchar(10)"
    encrypted = "select variable_value <> '' as encrypted from information_schema.session_status where variable_name = 'Ssl_cipher'"
    sleep = "sleep({})"

    def sql(self, *statements: str) -> list[tuple]:
        with self.server.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute("set time_zone = '+00:00'")
            for statement in statements:
                cursor.execute(statement)
            return [tuple(row) for row in cursor.fetchall()]

    def numbers(self, rows: int) -> str:
        return f"select seq as id, repeat('x', 100) as t from seq_1_to_{rows}"

    def fill(self, table: str, file) -> None:
        def clean(text: str) -> str | None:
            if text == "NA":
                return None
            return text.removesuffix("Z").replace("T", " ") if text.endswith("Z") and "T" in text else text

        rows = csv.reader(file)
        names = next(rows)
        insert = f"insert into {table} ({', '.join(names)}) values ({', '.join(['%s'] * len(names))})"
        with self.server.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute("set time_zone = '+00:00'")
            cursor.execute("begin")
            while block := [[clean(text) for text in row] for row in itertools.islice(rows, 20_000)]:
                cursor.executemany(insert, block)
            cursor.execute("commit")


class Increments:
    """Runs an incremental extractor repeatedly, and returns the rows of each run in order."""

    def __init__(self, shop: Shop, **config):
        self.shop, self.config = shop, {"table": "log", "replication": "incremental", "cursor": "at"} | config

    def run(self, expect: int = 0, after: list | None = None) -> list[tuple] | str:
        self.result = self.shop.run([self.shop.extract(**self.config), *(after or [])], expect=expect)
        if expect and not after:
            return self.shop.error(self.result, "extract")
        return self.shop.project.rows(self.result, "extract", "from main order by all")

    def ids(self, **more) -> list:
        return [row[0] for row in self.run(**more)]

    def state(self) -> dict:
        (kept,) = json.loads(self.shop.project.osiris("state", "show", "extract", "--json").stdout)
        return kept["state"]


@pytest.fixture
def postgres_shop(project, postgres):  # noqa: F811
    database = f"shop{next(NAMES)}"
    with postgres.connect("postgres") as connection:
        connection.execute(f"create database {database}")
    return PostgresShop(project, postgres, database)


@pytest.fixture
def mysql_shop(project, mariadb):  # noqa: F811
    database = f"shop{next(NAMES)}"
    mariadb.run(f"create database {database} character set utf8mb4")
    return MysqlShop(project, mariadb, database)


def _alone(project, kind: type[Shop]):
    # Not below pytest's folder: an unprivileged server may not have access to it.
    folder = Path(tempfile.mkdtemp(prefix="osiris-alone-"))
    server = kind.Server(folder, make_certificates(folder / "certificates"))
    try:
        yield kind(project, server.start())
    finally:
        server.remove()


@pytest.fixture
def postgres_alone(project):
    yield from _alone(project, PostgresShop)


@pytest.fixture
def mysql_alone(project):
    yield from _alone(project, MysqlShop)


@pytest.fixture(params=["postgres", "mysql"])
def shop(request):
    return request.getfixturevalue(f"{request.param}_shop")


@pytest.fixture(params=["postgres", "mysql"])
def alone(request):
    return request.getfixturevalue(f"{request.param}_alone")
