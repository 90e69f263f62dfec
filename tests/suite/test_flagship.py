"""The flagship example as described in its README: a shop's MySQL, DuckDB, and a warehouse's PostgreSQL, on real
servers."""

import json
import os
import shutil
import subprocess
from decimal import Decimal

import psycopg
import pymysql
import pytest
from conftest import ROOT
from postgres_server import free_port

EXAMPLE = ROOT / "examples" / "shop"
PASSWORDS = {"SHOP_PASSWORD": "sh'op \"p@ss\\", "WAREHOUSE_PASSWORD": "canary-wärehouse"}


class Databases:
    """Both servers, started and stopped by the example's own script."""

    def __init__(self, folder):
        self.ports = {"SHOP_PORT": str(free_port()), "WAREHOUSE_PORT": str(free_port())}
        self.environment = {"PATH": os.environ["PATH"], "SHOP_DATABASES": str(folder)} | self.ports | PASSWORDS

    def run(self, verb: str) -> str:
        done = subprocess.run([EXAMPLE / "databases", verb], env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shop(self, statement: str) -> list[tuple]:
        with pymysql.connect(
            host="127.0.0.1", port=int(self.ports["SHOP_PORT"]), user="shop", password=PASSWORDS["SHOP_PASSWORD"], database="shop",
            charset="utf8mb4", autocommit=True,
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            cursor.execute(statement)
            return list(cursor.fetchall())

    def warehouse(self, statement: str) -> list[tuple]:
        with psycopg.connect(
            host="127.0.0.1", port=self.ports["WAREHOUSE_PORT"], user="warehouse", password=PASSWORDS["WAREHOUSE_PASSWORD"], dbname="warehouse", autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def databases():
    # Not below pytest's folder: an unprivileged server may not have access to it.
    folder = f"/tmp/osiris-flagship-{os.getpid()}"
    both = Databases(folder)
    try:
        both.run("start")
        yield both
    finally:
        if os.path.exists(folder):
            both.run("stop")
        assert not os.path.exists(folder)


@pytest.fixture
def example(project, databases):
    """The example's folder, with connections to the test's ports."""
    for name in ("pipeline.yaml", "osiris_connections.yaml"):
        shutil.copy(EXAMPLE / name, project.folder)
    place = project.folder / "osiris_connections.yaml"
    text = place.read_text()
    for told, port in [("port: 13306", "SHOP_PORT"), ("port: 15432", "WAREHOUSE_PORT")]:
        assert text.count(told) == 1
        text = text.replace(told, f"port: {databases.ports[port]}")
    place.write_text(text)
    databases.warehouse("drop table if exists customer_revenue, monthly_revenue")
    return project


def test_stopping_databases_that_do_not_exist_fails(tmp_path):
    environment = {"PATH": os.environ["PATH"], "SHOP_DATABASES": str(tmp_path / "elsewhere")}
    done = subprocess.run([EXAMPLE / "databases", "stop"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and str(tmp_path / "elsewhere") in done.stderr and not done.stdout


CUSTOMERS = "select customer_id, name, country, orders, revenue, last_order::text from customer_revenue order by customer_id"
MONTHS = "select month::text, country, orders, revenue from monthly_revenue order by month, country"

# MySQL's own answer to the same question.
ASKED = """select c.id, c.name, c.country, count(distinct o.id), sum(i.quantity * i.unit_price), date_format(max(o.ordered_at), '%Y-%m-%d %H:%i:%s')
           from customers c join orders o on o.customer_id = c.id join order_items i on i.order_id = o.id
           where o.status <> 'cancelled' and o.ordered_at >= '2024-01-01' group by c.id, c.name, c.country order by c.id"""


def test_the_example_brings_the_shops_revenue_into_the_warehouse(example, databases):
    result = example.run(env=PASSWORDS)
    rows = {step: result["step"][step]["rows"] for step in ("extract-customers", "extract-orders", "extract-items", "write-customers", "write-months")}
    assert rows == {"extract-customers": 5, "extract-orders": 6, "extract-items": 11, "write-customers": 4, "write-months": 6}
    assert databases.warehouse(CUSTOMERS) == databases.shop(ASKED)
    assert databases.warehouse(CUSTOMERS)[2:4] == [
        (3, "Kateřina Nováková", "CZ", 1, Decimal("12798.99"), "2024-02-01 00:00:00"),
        (4, "山田 花子", "JP", 1, Decimal("8800.00"), "2024-02-14 12:00:00"),
    ]
    assert databases.warehouse(MONTHS) == [
        ("2024-01-01", "GB", 1, Decimal("53.40")),
        ("2024-01-01", "US", 1, Decimal("240.00")),
        ("2024-02-01", "CZ", 1, Decimal("12798.99")),
        ("2024-02-01", "JP", 1, Decimal("8800.00")),
        ("2024-03-01", "GB", 1, Decimal("1000049.99")),
        ("2024-03-01", "US", 1, Decimal("50.00")),
    ]
    for path in (example.folder / ".osiris_sessions").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(password.encode() in content for password in PASSWORDS.values()), path


def test_running_twice_equals_running_once_and_changes_follow(example, databases):
    example.run(env=PASSWORDS)
    once = databases.warehouse(CUSTOMERS), databases.warehouse(MONTHS)
    example.run(env=PASSWORDS)
    assert (databases.warehouse(CUSTOMERS), databases.warehouse(MONTHS)) == once
    databases.warehouse("insert into customer_revenue values (99, 'Gone', 'XX', 1, 1, '2020-01-01')")
    databases.shop("insert into orders values (901, 5, '2024-03-30 12:00:00', 'paid')")
    databases.shop("insert into order_items values (901, 1, 'Nothing much', 2, 0.25)")
    try:
        example.run(env=PASSWORDS)
        assert databases.warehouse(CUSTOMERS)[:-1] == databases.shop(ASKED)
        assert databases.warehouse(CUSTOMERS)[-1][:2] == (99, "Gone")
    finally:
        databases.shop("delete from orders where id = 901")
        databases.shop("delete from order_items where order_id = 901")


def test_a_parameter_reaches_the_shops_query(example, databases):
    result = example.run(None, "--param", "since=2023-01-01", env=PASSWORDS)
    assert result["step"]["extract-orders"]["rows"] == 7


def test_a_wrong_password_leaves_the_warehouse_as_it_was(example, databases):
    example.run(env=PASSWORDS)
    before = databases.warehouse(CUSTOMERS), databases.warehouse(MONTHS)
    result = example.run(expect=1, env=PASSWORDS | {"SHOP_PASSWORD": "wrong"})
    error = result["step"]["extract-customers"]["error"]
    assert error["kind"] == "auth" and error["blame"] == "user", error
    assert result["step"]["write-customers"]["status"] == "skipped"
    example.run(expect=1, env=PASSWORDS | {"WAREHOUSE_PASSWORD": "wrong"})
    assert (databases.warehouse(CUSTOMERS), databases.warehouse(MONTHS)) == before


def test_a_missing_password_is_reported_before_anything_runs(example):
    done = example.osiris("run", "pipeline.yaml")
    assert done.returncode == 2 and "_PASSWORD`, which is not set" in done.stderr, done.stderr


def test_each_step_may_reach_its_own_server_only(example, databases):
    planned = example.osiris("plan", "pipeline.yaml", env=PASSWORDS)
    assert planned.returncode == 0, planned.stderr
    shop, warehouse = (f"127.0.0.1:{databases.ports[port]}" for port in ("SHOP_PORT", "WAREHOUSE_PORT"))
    steps = {step["id"]: str(step) for step in json.loads(example.osiris("plan", "pipeline.yaml", "--json", env=PASSWORDS).stdout)["steps"]}
    for step, told in steps.items():
        assert (shop in told) == step.startswith("extract"), step
        assert (warehouse in told) == step.startswith("write"), step


def test_doctor_and_discover_support_both(example, databases):
    healthy = example.osiris("connections", "doctor", env=PASSWORDS)
    assert healthy.returncode == 0 and "PostgreSQL 15" in healthy.stdout, healthy.stdout + healthy.stderr
    found = example.osiris("discover", "@mysql.shop", env=PASSWORDS)
    assert all(table in found.stdout for table in ("customers", "orders", "order_items")), found.stdout + found.stderr
