"""A short run of the differential fuzz: once from a fixed seed, once from a new one, which pytest prints on failure."""

import random

import pytest
from conftest import Project
from differential import connect
from differential_csv import Csv
from differential_json import JsonFiles
from differential_runs import Steps
from differential_tables import Tables
from mariadb_server import mariadb  # noqa: F401, a fixture
from postgres_server import postgres  # noqa: F401, a fixture
from round_trip import FORMATS
from supabase_stand_in import SupabaseStandIn

SEEDS = [20240229, random.randrange(2**32)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory, postgres, mariadb):  # noqa: F811
    """A project whose connections lead to the module's own databases, and a function that creates Supabase's tables."""
    with postgres.connect("postgres") as connection:
        connection.execute("create database fuzz")
        connection.execute("create database fuzz_api")
    mariadb.run("create database fuzz character set utf8mb4")
    api = SupabaseStandIn(lambda: postgres.connect("fuzz_api"))
    project = Project(tmp_path_factory.mktemp("fuzz"))
    yield Steps(project), connect(project, postgres, mariadb, api, "fuzz", "fuzz_api")
    api.close()
    with postgres.connect("postgres") as connection:
        connection.execute("drop database fuzz with (force)")
        connection.execute("drop database fuzz_api with (force)")
    mariadb.run("drop database fuzz")


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "new"])
def test_random_tables_come_back_equal_or_are_refused_by_name(tables, seed):
    steps, databases = tables
    fuzz = Tables(steps, random.Random(seed), FORMATS, databases, start=1000 * SEEDS.index(seed))
    fuzz.batch(tables=3)
    assert fuzz.findings.differences == [], f"seed {seed}\n{fuzz.findings}"


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "new"])
@pytest.mark.parametrize("kind", [Csv, JsonFiles], ids=["CSV", "JSON"])
def test_random_files_are_read_as_their_texts_say(project, kind, seed):
    fuzz = kind(Steps(project), random.Random(seed))
    fuzz.batch(files=40)
    assert fuzz.findings.differences == [], f"seed {seed}\n{fuzz.findings}"


def test_a_wrong_reference_is_detected(project, monkeypatch):
    """Tests the fuzz itself: a reference that is wrong in one cell gives a difference, with that column only."""
    fuzz = Csv(Steps(project), random.Random(7))
    file = fuzz.file()
    monkeypatch.setattr(fuzz, "file", lambda: file.without(0) if len(file.columns[0]) > 1 else file)
    judged = fuzz.judge

    def wrong(file, quoted, paths):
        changed = [[*column[:-1], column[-1] + "x"] if place == 0 else column for place, column in enumerate(file.columns)]
        return judged(type(file)(file.dialect, file.names, changed, file.config, file.nulls, file.quoted_nulls), quoted, paths)

    monkeypatch.setattr(fuzz, "judge", wrong)
    fuzz.batch(files=1)
    (difference,) = fuzz.findings.differences
    assert f"column {file.names[0]!r}" in difference and "x' " in difference
