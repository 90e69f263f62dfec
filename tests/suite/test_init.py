"""`osiris init`: a project whose first pipeline runs at once."""

import csv

from shops import PostgresShop, postgres, postgres_shop  # noqa: F401: fixtures

FILES = {"osiris.yaml", "osiris_connections.yaml", ".env.example", ".gitignore", ".github/workflows/pipelines.yml", "README.md"}


def files(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_new_project_runs_at_once(project):
    done = project.osiris("init", "shop")
    assert done.returncode == 0 and "cd shop" in done.stdout, done
    folder = project.folder / "shop"
    assert files(folder) == FILES | {"pipeline.yaml", "data/orders.csv"}
    for verb in ("validate", "plan", "run"):
        done = project.osiris(verb, "shop/pipeline.yaml")
        assert done.returncode == 0, done.stderr
    rows = list(csv.reader((folder / "out" / "by-day.csv").open()))
    assert rows[0] == ["day", "orders", "amount"] and rows[1] == ["2026-01-01", "2", "20.5"] and len(rows) == 4
    ignored = (folder / ".gitignore").read_text()
    assert "/.osiris_sessions/" in ignored and "/.env" in ignored
    assert "# shop" in (folder / "README.md").read_text()
    listed = project.osiris("connections", "list", "--base", "shop")
    assert listed.returncode == 0, listed.stderr


def test_what_exists_stays_as_it_is(project):
    project.write("README.md", "mine")
    project.write("pipeline.yaml", "mine too")
    done = project.osiris("init")
    assert done.returncode == 0 and "left as they are: pipeline.yaml, README.md" in done.stdout or "left as they are: README.md, pipeline.yaml" in done.stdout, done
    assert (project.folder / "README.md").read_text() == "mine" and (project.folder / "pipeline.yaml").read_text() == "mine too"
    again = project.osiris("init", "--from", "data/orders.csv")
    assert again.returncode == 2 and "`pipeline.yaml` exists already" in again.stderr


def test_the_first_pipeline_copies_what_a_connection_shows(postgres_shop: PostgresShop):
    shop = postgres_shop
    shop.sql("create table orders as select 1 as id", "create table customers as select 2 as id")
    done = shop.osiris("init", "--from", "@postgres.shop.public.*")
    assert done.returncode == 0 and "left as they are: osiris_connections.yaml" in done.stdout, done
    pipeline = (shop.project.folder / "pipeline.yaml").read_text()
    assert pipeline.startswith("# osiris copy '@postgres.shop.public.*' warehouse.duckdb\n")
    assert "table: public.orders" in pipeline and "table: public.customers" in pipeline


def test_a_folder_that_cannot_be_made_is_named(project):
    project.write("file", "")
    done = project.osiris("init", "file/shop")
    assert done.returncode == 2 and "`file/shop`" in done.stderr, done.stderr
