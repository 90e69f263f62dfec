"""`osiris copy`: from source to target in one line."""

import gzip
import json

import duckdb
import pytest
from shops import PostgresShop, Shop, mariadb, mysql_shop, postgres, postgres_shop, shop  # noqa: F401: fixtures

ORDERS = "id,amount,at\n1,1.25,2026-01-01\n2,2.5,2026-01-02\n"


def copied(project, *arguments, expect: int = 0, env: dict | None = None) -> dict:
    done = project.osiris("copy", *arguments, "--json", env=env)
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout)


def test_a_file_becomes_another_and_the_printed_pipeline_does_the_same(project):
    project.write("data/orders.csv", ORDERS)
    result = copied(project, "data/orders.csv", "orders.parquet")
    assert [(step["id"], step["rows"]) for step in result["steps"]] == [("extract", 2), ("load", 2)]
    parquet = project.folder / "orders.parquet"
    first = duckdb.sql(f"from read_parquet('{parquet}')").fetchall()
    assert len(first) == 2
    parquet.unlink()
    printed = project.osiris("copy", "data/orders.csv", "orders.parquet", "--print")
    assert printed.returncode == 0 and printed.stdout.startswith("# osiris copy data/orders.csv orders.parquet\n"), printed
    assert not parquet.exists()
    project.write("pipeline.yaml", printed.stdout)
    project.run()
    assert duckdb.sql(f"from read_parquet('{parquet}')").fetchall() == first


def test_columns_keep_their_order_and_compressed_files_their_names(project):
    project.write("data/orders.csv.gz", gzip.compress(ORDERS.encode()))
    copied(project, "data/orders.csv.gz", "out/orders.csv")
    assert (project.folder / "out" / "orders.csv").read_text() == ORDERS
    copied(project, "out/orders.csv", "orders.jsonl")
    assert [list(json.loads(line)) for line in (project.folder / "orders.jsonl").read_text().splitlines()] == [["id", "amount", "at"]] * 2


def test_new_files_are_added_to_a_database_that_lasts(project):
    project.write("in/2026-01.csv", "id,amount\n1,10\n")
    project.write("in/2026-02.csv", "id,amount,note\n2,20,late\n")

    def there() -> list[tuple]:
        with duckdb.connect(str(project.folder / "warehouse.duckdb"), read_only=True) as connection:
            return connection.execute("select id, amount, note from orders order by id, amount").fetchall()

    new = ("in/*.csv", "warehouse.duckdb#orders", "--new-files")
    copied(project, *new)
    assert there() == [(1, 10, None), (2, 20, "late")]
    project.write("in/2026-03.csv", "id,amount,note\n3,30,\n")
    assert [step["rows"] for step in copied(project, *new)["steps"]] == [1, 1]
    assert copied(project, *new)["steps"][0]["rows"] == 0
    assert len(there()) == 3
    copied(project, "in/*.csv", "warehouse.duckdb#orders")
    assert len(there()) == 3
    copied(project, "warehouse.duckdb#orders", "out.csv")
    assert (project.folder / "out.csv").read_text().splitlines()[0] == "id,amount,note"
    none = project.osiris("copy", "in/*.json", "warehouse.duckdb")
    assert none.returncode == 2 and "in/*.json" in none.stderr, none.stderr


def test_a_table_is_replaced_and_its_changes_are_merged_by_its_own_key(shop: Shop):
    shop.sql(f"create table orders (id {shop.whole} primary key, amount {shop.whole}, at {shop.moment})")
    shop.sql("insert into orders values (1, 10, '2026-01-01 00:00:00'), (2, 20, '2026-01-02 00:00:00')")
    source, target = f"@{shop.family}.shop.orders", f"@{shop.family}.shop.kept"
    for _ in range(2):
        done = shop.osiris("copy", source, target)
        assert done.returncode == 0, done.stderr
    assert shop.sql("select id, amount from kept order by id") == [(1, 10), (2, 20)]
    changes = ("copy", source, f"@{shop.family}.shop.merged", "--incremental", "at")
    printed = shop.osiris(*changes, "--print").stdout
    assert "mode: upsert" in printed and "cursor: at" in printed and "- id" in printed, printed
    assert shop.osiris(*changes, "--key", "id").returncode == 0
    shop.sql("update orders set amount = 21, at = '2026-01-03 00:00:00' where id = 2", "insert into orders values (3, 30, '2026-01-04 00:00:00')")
    done = shop.osiris(*changes, "--key", "id", "--json")
    assert [step["rows"] for step in json.loads(done.stdout)["steps"]] == [2, 2], done.stderr
    assert shop.sql("select id, amount from merged order by id") == [(1, 10), (2, 21), (3, 30)]


def test_all_tables_of_a_schema_keep_their_names(postgres_shop: PostgresShop):
    shop = postgres_shop
    shop.sql("create schema sales", 'create table sales."odd.name" as select 1 as a', "create table sales.plain as select 2 as a", "create table other as select 3 as a", "create schema raw")
    done = shop.osiris("copy", "@postgres.shop.sales.*", "@postgres.shop.raw.*", "--json")
    assert done.returncode == 0, done.stderr
    assert sorted(step["id"] for step in json.loads(done.stdout)["steps"] if step["id"].startswith("load")) == ["load-sales._odd.name_", "load-sales.plain"]
    assert shop.sql('select a from raw."odd.name" union all select a from raw.plain order by a') == [(1,), (2,)]
    none = shop.osiris("copy", "@postgres.shop.nowhere.*", "@postgres.shop.raw.*")
    assert none.returncode == 2 and "schemas with tables: `public`, `raw`, `sales`" in none.stderr, none.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("orders.csv", "orders"), "the name of `orders` does not say what kind of file it is"),
        (("orders.csv", "copy.csv", "--mode", "append"), "a file cannot be written with the mode `append`"),
        (("orders.csv", "copy.csv", "--incremental", "at"), "`--incremental` is for tables of a connection"),
        (("orders.csv", "copy.xlsx"), "no driver writes files such as `copy.xlsx`"),
        (("@postgres.shop", "copy.csv"), "the source `@postgres.shop` names no table"),
        (("nowhere.csv", "copy.csv"), "nowhere.csv"),
    ],
)
def test_what_cannot_be_copied_is_refused_before_anything_runs(project, arguments, words):
    project.write("orders.csv", ORDERS)
    done = project.osiris("copy", *arguments)
    assert done.returncode == 2 and words in done.stderr and "hint: " in done.stderr, done.stderr
    assert not (project.folder / ".osiris_sessions").exists() and not (project.folder / "copy.csv").exists()
    object = json.loads(project.osiris("copy", *arguments, "--json").stdout)
    assert object["status"] == "failed" and words in object["error"]["message"]
