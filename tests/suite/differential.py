"""Random tables and files through the drivers, compared with an independent reader: nothing may differ silently.

Three kinds: `tables` (random types and values through the writer and the reader of each format), `csv` (random texts in random
dialects through the CSV extractor, against Python's `csv`) and `json` (against Python's `json`, numbers by their digits). Each
table and file is a case of its own, with its own types, values, names and dialect.

    python tests/suite/differential.py [--seed N] [--minutes M] [--tally FILE] [tables|csv|json]…
"""

import argparse
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import round_trip
import type_compare
from conftest import Project
from differential_csv import Csv
from differential_json import JsonFiles
from differential_runs import Steps, sql_name
from differential_tables import Case, Tables
from round_trip import FORMATS
from type_cases import ROW

# How many tables or files a batch has.
BATCH = {"tables": 10, "csv": 150, "json": 150}


class Databases:
    """The servers and the tables that a writer does not create, and their shutdown."""

    def __init__(self, postgres, mariadb, database: str, api_database: str):
        self.postgres, self.mariadb, self.database, self.api_database = postgres, mariadb, database, api_database

    def create(self, cases: list[tuple[str, Case]]) -> None:
        statements = []
        for name, case in cases:
            if case.format.name == "supabase":
                columns = [f"{sql_name(column.name)} {round_trip.postgres_type(type_compare.parse(self.described(column.kind)))}" for column in case.columns]
                key = f", primary key ({sql_name(case.key)})" if case.key else ""
                statements.append(f"create table {name} ({ROW} integer, {', '.join(columns)}{key});")
        if statements:
            with self.postgres.connect(self.api_database) as connection:
                connection.execute("".join(statements))

    def described(self, kind: str) -> str:
        """A type as `describe` writes it."""
        return kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE").replace("TIMETZ", "TIME WITH TIME ZONE")

    def drop(self, cases: list[tuple[str, Case]]) -> None:
        for format, database in [("postgres", self.database), ("supabase", self.api_database)]:
            if names := [name for name, case in cases if case.format.name == format]:
                with self.postgres.connect(database) as connection:
                    connection.execute(f"drop table if exists {', '.join(names)} cascade")
        if names := [name for name, case in cases if case.format.name == "mariadb"]:
            self.mariadb.run(f"use {self.database}", f"drop table if exists {', '.join(names)}")


@contextlib.contextmanager
def servers(project: Project):
    """The servers of all formats, with connections of the project to them."""
    from mariadb_server import MariaDbServer
    from postgres_server import PostgresServer
    from supabase_stand_in import SupabaseStandIn

    with contextlib.ExitStack() as stack:
        postgres = PostgresServer(Path(tempfile.mkdtemp(prefix="osiris-postgres-")), None).start()
        stack.callback(postgres.remove)
        mariadb = MariaDbServer(Path(tempfile.mkdtemp(prefix="osiris-mariadb-")), None).start()
        stack.callback(mariadb.remove)
        api = SupabaseStandIn(lambda: postgres.connect("api"))
        stack.callback(api.close)
        with postgres.connect("postgres") as connection:
            connection.execute("create database api")
        yield connect(project, postgres, mariadb, api, "shop", "api")


def connect(project: Project, postgres, mariadb, api, database: str, api_database: str) -> Databases:
    """Writes the project's connections."""
    connections = {
        "postgres": {"shop": postgres.connection(database=database, private_network=True)},
        "mysql": {"shop": mariadb.connection(database=database, private_network=True)},
        "supabase": {"shop": api.connection(private_network=True)},
    }
    project.write("osiris_connections.yaml", json.dumps({"version": 1, "connections": connections}))
    return Databases(postgres, mariadb, database, api_database)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--formats", default=",".join(format.name for format in FORMATS))
    arguments.add_argument("--jobs", type=int, default=1, help="steps at once")
    arguments.add_argument("--batches", type=int, help="stop after so many batches of each kind")
    arguments.add_argument("--tally", type=Path, help="where to keep the counts and differences so far, as JSON")
    arguments.add_argument("kinds", nargs="*", default=["tables", "csv", "json"])
    given = arguments.parse_args()
    print(f"seed {given.seed}", flush=True)
    # If it is ended from outside, it stops its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rng = random.Random(given.seed)
    formats = [format for format in FORMATS if format.name in given.formats.split(",")]
    with tempfile.TemporaryDirectory(prefix="osiris-differential-") as folder, contextlib.ExitStack() as stack:
        project = Project(Path(folder))
        steps = Steps(project, given.jobs)
        needs_servers = "tables" in given.kinds and any(format.config for format in formats)
        databases = stack.enter_context(servers(project)) if needs_servers else None
        kinds = {"tables": lambda: Tables(steps, rng, formats, databases), "csv": lambda: Csv(steps, rng), "json": lambda: JsonFiles(steps, rng)}
        chosen = {name: kinds[name]() for name in given.kinds}
        spent = dict.fromkeys(chosen, 0.0)
        begun, batches = time.monotonic(), 0
        while time.monotonic() < begun + given.minutes * 60 and (given.batches is None or batches < given.batches):
            for name, fuzz in chosen.items():
                at = time.monotonic()
                fuzz.batch(BATCH[name])
                spent[name] += time.monotonic() - at
            batches += 1
            if given.tally:
                told = {"seed": given.seed, "seconds": spent, "counts": {name: fuzz.findings.counts for name, fuzz in chosen.items()}}
                given.tally.write_text(json.dumps(told | {"differences": [each for fuzz in chosen.values() for each in fuzz.findings.differences]}, indent=1, ensure_ascii=False))
        findings = [fuzz.findings for fuzz in chosen.values()]
        for name, fuzz in chosen.items():
            print(f"{name} ({spent[name]:.0f} s): {fuzz.findings}", flush=True)
        print(f"{time.monotonic() - begun:.0f} s, seed {given.seed}")
        return int(any(each.differences for each in findings))


if __name__ == "__main__":
    sys.exit(main())
