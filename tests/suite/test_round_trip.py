"""What the writer of a format writes, its reader reads back equal, or one of them refuses it by name."""

import json
import os

import pytest
import type_cases
import type_compare
import types_page
from conftest import Project
from mariadb_server import mariadb  # noqa: F401, a fixture
from postgres_server import postgres  # noqa: F401, a fixture
from round_trip import Matrix, Table, Verdict, postgres_type
from supabase_stand_in import SupabaseStandIn


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, postgres, mariadb):  # noqa: F811
    """Every case through every format, once for the module."""
    with postgres.connect("postgres") as connection:
        connection.execute("create database matrix")
        connection.execute("create database matrix_api")
    mariadb.run("create database matrix character set utf8mb4")
    api = SupabaseStandIn(lambda: postgres.connect("matrix_api"))
    project = Project(tmp_path_factory.mktemp("matrix"))
    connections = {
        "postgres": {"shop": postgres.connection(database="matrix", private_network=True)},
        "mysql": {"shop": mariadb.connection(database="matrix", private_network=True)},
        "supabase": {"shop": api.connection(private_network=True)},
    }
    project.write("osiris_connections.yaml", json.dumps({"version": 1, "connections": connections}))

    def prepare(table: Table, kinds: dict[str, str]) -> None:
        if table.format.name == "supabase":
            columns = ", ".join(f"{name} {postgres_type(type_compare.parse(kind))}" for name, kind in kinds.items())
            with postgres.connect("matrix_api") as connection:
                connection.execute(f"create table {table.name} ({type_cases.ROW} integer, {columns})")

    try:
        cases = type_cases.cases()
        yield Matrix(project, cases, prepare=prepare).run(types_page.refused(cases))
    finally:
        api.close()
        with postgres.connect("postgres") as connection:
            connection.execute("drop database matrix with (force)")
            connection.execute("drop database matrix_api with (force)")
        mariadb.run("drop database matrix")


def test_nothing_is_read_back_different_and_every_refusal_names_the_column(outcomes):
    wrong = [
        f"{run.title}: {case}: {outcome.verdict.value}: {outcome.detail[:300]}"
        for (run, case), outcome in outcomes.items()
        if outcome.verdict in (Verdict.DIFFERENT, Verdict.UNNAMED)
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_the_page_of_types_shows_what_happens(outcomes):
    page = types_page.page(type_cases.cases(), outcomes)
    if os.environ.get("BLESS"):
        types_page.PATH.write_text(page)
    assert types_page.PATH.read_text() == page, "BLESS=1 regenerates docs/types.md"
