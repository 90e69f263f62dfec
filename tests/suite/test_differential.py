"""A short run of the differential fuzz: once from a fixed seed, once from a new one, which pytest prints where it fails."""

import random

import pytest
from conftest import Project
from differential import Csv, JsonFiles, Tables, connect
from mariadb_server import mariadb  # noqa: F401, a fixture
from postgres_server import postgres  # noqa: F401, a fixture
from round_trip import FORMATS
from supabase_stand_in import SupabaseStandIn

SEEDS = [20240229, random.randrange(2**32)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory, postgres, mariadb):  # noqa: F811
    """A project whose connections lead to databases of the module's own, and what makes Supabase's tables."""
    with postgres.connect("postgres") as connection:
        connection.execute("create database fuzz")
        connection.execute("create database fuzz_api")
    mariadb.run("create database fuzz character set utf8mb4")
    api = SupabaseStandIn(lambda: postgres.connect("fuzz_api"))
    project = Project(tmp_path_factory.mktemp("fuzz"))
    yield project, connect(project, postgres, mariadb, api, "fuzz", "fuzz_api")
    api.close()
    with postgres.connect("postgres") as connection:
        connection.execute("drop database fuzz with (force)")
        connection.execute("drop database fuzz_api with (force)")
    mariadb.run("drop database fuzz")


@pytest.mark.parametrize("place", range(len(SEEDS)), ids=["fixed", "new"])
def test_random_tables_come_back_equal_or_are_refused_by_name(tables, place):
    project, prepare = tables
    fuzz = Tables(project, random.Random(SEEDS[place]), FORMATS, prepare, start=1000 * place)
    fuzz.batch(tables=2, width=15, rows=4)
    assert fuzz.findings.differences == [], f"seed {SEEDS[place]}\n{fuzz.findings}"


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "new"])
def test_random_csv_files_are_read_as_their_texts_say(project, seed):
    fuzz = Csv(project, random.Random(seed))
    fuzz.batch(files=15, width=25, rows=8)
    assert fuzz.findings.differences == [], f"seed {seed}\n{fuzz.findings}"


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "new"])
def test_random_json_files_are_read_as_their_texts_say(project, seed):
    fuzz = JsonFiles(project, random.Random(seed))
    fuzz.batch(files=15, width=20, rows=8)
    assert fuzz.findings.differences == [], f"seed {seed}\n{fuzz.findings}"
