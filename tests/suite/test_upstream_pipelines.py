"""The kinds of pipeline that Python Osiris ships as examples run unchanged, from a real MariaDB to Supabase."""

import csv
import json

import pytest
from mariadb_server import mariadb  # noqa: F401, a fixture
from postgres_server import postgres  # noqa: F401, a fixture
from test_supabase import database, execute, supabase  # noqa: F401, fixtures

SHOPS = [(1, "Nord", "CZ"), (2, "Süd", "AT")]
SALES = [(1, 1, "tea", "12.50", 4), (2, 1, "tea", "7.25", 2), (3, 2, "rye, whole", "3.00", None), (4, 2, 'so-called "mix"', "9.99", 1)]
TABLES = {"shops": SHOPS, "sales": SALES}
STATISTICS = [(1, "Nord", 2, "19.75", "9.88"), (2, "Süd", 2, "12.99", "6.50")]


@pytest.fixture
def shop(project, mariadb, supabase):  # noqa: F811
    """A shop in MariaDB, and the connections to it and to Supabase."""
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("drop database if exists upstream")
        cursor.execute("create database upstream character set utf8mb4")
        cursor.execute("create table upstream.shops (id int primary key, name varchar(40), country char(2))")
        cursor.execute("create table upstream.sales (id int primary key, shop_id int, item varchar(40), price decimal(10,2), pieces int)")
        cursor.executemany("insert into upstream.shops values (%s, %s, %s)", SHOPS)
        cursor.executemany("insert into upstream.sales values (%s, %s, %s, %s, %s)", SALES)
        connection.commit()
    mysql = mariadb.connection(database="upstream")
    fields = {"version": 1, "connections": {"mysql": {"db_shop": mysql}, "supabase": {"main": supabase.connection()}}}
    project.write("osiris_connections.yaml", json.dumps(fields))
    yield project
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("drop database upstream")


def steps(project, text: str, name: str, head: str = "", expect: int = 0) -> dict:
    project.write("pipeline.yaml", f'oml_version: "0.1.0"\nname: {name}\n{head}\nsteps:\n{text}')
    return project.run(expect=expect)


EXTRACT = """
- id: extract-sales
  component: mysql.extractor
  mode: read
  config:
    connection: "@mysql.db_shop"
    query: |
      SELECT s.id, s.shop_id, s.item, s.price, s.pieces, h.name AS shop_name
      FROM sales s JOIN shops h ON s.shop_id = h.id
      WHERE s.price IS NOT NULL
"""
STATISTICS_STEP = """
- id: shop-statistics
  component: duckdb.processor
  mode: transform
  needs: ["extract-sales"]
  config:
    query: |
      SELECT shop_id, shop_name, COUNT(*) AS sale_count, ROUND(SUM(price), 2) AS total, ROUND(AVG(price), 2) AS average
      FROM input_df
      GROUP BY shop_id, shop_name
      HAVING COUNT(*) >= 1
      ORDER BY total DESC
"""
LOAD = """
- id: write-statistics
  component: supabase.writer
  mode: write
  needs: ["shop-statistics"]
  config:
    connection: "@supabase.main"
    table: "shop_statistics"
    create_if_missing: true
    write_mode: "{mode}"
    primary_key: ["shop_id"]
"""
DEBUG = """
- id: debug-{step}
  component: filesystem.csv_writer
  mode: write
  needs: ["{step}"]
  config:
    path: "./debug_out/{step}.csv"
    encoding: "utf-8"
    newline: "lf"
    delimiter: ","
    quotechar: '"'
"""
TABLE = "create table shop_statistics (shop_id integer primary key, shop_name text, sale_count bigint, total numeric(12,2), average double precision)"
SEEN = "select shop_id, shop_name, sale_count::int, total::text, round(average::numeric, 2)::text from shop_statistics order by shop_id"


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_mysql_via_duckdb_to_supabase(shop, supabase, database, mode):  # noqa: F811
    pipeline = EXTRACT + STATISTICS_STEP + LOAD.format(mode=mode)
    # A missing table is an error that shows the statement to create it, and the statement works.
    missing = steps(shop, pipeline, "shop-demo", expect=1)["step"]["write-statistics"]["error"]["message"]
    assert 'create table "shop_statistics" ("shop_id" integer' in missing
    execute(database, missing[missing.index('create table "') : missing.rindex(";")])
    if mode == "replace":
        execute(database, "insert into shop_statistics (shop_id) values (99)")
    for _ in range(2):
        steps(shop, pipeline, "shop-demo")
        assert execute(database, SEEN) == STATISTICS


def test_mysql_via_duckdb_to_supabase_with_debugging_files(shop, supabase, database):  # noqa: F811
    execute(database, TABLE)
    debug = DEBUG.format(step="extract-sales"), DEBUG.format(step="shop-statistics")
    steps(shop, EXTRACT + debug[0] + STATISTICS_STEP + debug[1] + LOAD.format(mode="replace"), "shop-debug")
    assert execute(database, SEEN) == STATISTICS
    with (shop.folder / "debug_out" / "extract-sales.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["id"]))
    assert [(row["item"], row["price"], row["pieces"], row["shop_name"]) for row in rows] == [
        (item, price, "" if pieces is None else str(pieces), SHOPS[shop_id - 1][1]) for _, shop_id, item, price, pieces in SALES
    ]
    assert len((shop.folder / "debug_out" / "shop-statistics.csv").read_text().splitlines()) == 3


def test_all_tables_of_mysql_to_csv(shop):
    each = """
- id: extract-{table}
  component: mysql.extractor
  mode: read
  config:
    connection: "@mysql.db_shop"
    query: "SELECT * FROM {table}"

- id: write-{table}-csv
  component: filesystem.csv_writer
  mode: write
  needs: ["extract-{table}"]
  config:
    path: "./output/{table}.csv"
    delimiter: ","
    header: true
    encoding: "utf-8"
    newline: "lf"
"""
    steps(shop, "".join(each.format(table=table) for table in TABLES), "all-tables-to-csv")
    for table, expected in TABLES.items():
        with (shop.folder / "output" / f"{table}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["id"] for row in rows] == [str(row[0]) for row in expected]
    assert rows[3]["item"] == 'so-called "mix"' and rows[0]["price"] == "12.50"


def test_all_tables_of_mysql_to_supabase(shop, supabase, database):  # noqa: F811
    execute(database, "create table shops (id integer, name text, country text); create table sales (id integer, shop_id integer, item text, price numeric(10,2), pieces integer)")
    each = """
- id: extract-{table}
  component: mysql.extractor
  mode: read
  config:
    connection: "@mysql.db_shop"
    query: "SELECT * FROM {table}"

- id: write-{table}-supabase
  component: supabase.writer
  mode: write
  needs: ["extract-{table}"]
  config:
    connection: "@supabase.main"
    table: "{table}"
    write_mode: "append"
    create_if_missing: true
"""
    head = 'metadata:\n  intent: "Move the shop."\n  description: "All tables."\n'
    steps(shop, "".join(each.format(table=table) for table in TABLES), "all-tables-to-supabase", head)
    assert execute(database, "select * from shops order by id") == SHOPS
    assert execute(database, "select id, shop_id, item, price::text, pieces from sales order by id") == SALES
