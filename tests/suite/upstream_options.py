"""The options of Python Osiris 0.5.7's component specs and example pipelines, and docs/python-osiris.md: the equivalent of each."""

import json

from conftest import ROOT, Project

PATH = ROOT / "docs" / "python-osiris.md"

# Values of each kind that the option accepts there; the first is a usual one.
OPTIONS = {
    "duckdb.processor": ({"query": "select 1 as a"}, {"query": ["select 1 as a"]}),
    "filesystem.csv_extractor": ({"path": "in.csv"}, {
        "connection": ["@filesystem.local"], "path": ["in.csv", "./in.csv"], "delimiter": [",", ";", "\t"],
        "encoding": ["utf-8", "utf-16", "ascii", "latin-1", "iso-8859-1"], "header": [True, 0, None], "columns": [["a"]], "skip_rows": [1, 0],
        "limit": [10], "parse_dates": [False, True, ["a"]], "dtype": [{"a": "VARCHAR"}], "na_values": [["NA", ""]], "chunk_size": [10000],
        "skip_blank_lines": [True], "comment": ["#"], "compression": ["infer", "gzip", "bz2", "zip", "xz"], "on_bad_lines": ["skip"],
    }),
    "filesystem.csv_writer": ({"path": "out.csv"}, {
        "path": ["out.csv"], "delimiter": [",", ";"], "header": [True, False], "encoding": ["utf-8", "utf-16", "ascii", "latin-1"],
        "newline": ["lf", "crlf"], "quoting": ["minimal", "all", "nonnumeric"], "quotechar": ['"'], "chunk_size": [1000], "create_dirs": [True, False],
    }),
    "graphql.extractor": ({"endpoint": "https://example.org/graphql", "query": "{ a { b } }"}, {
        "endpoint": ["https://example.org/graphql"], "query": ["{ a { b } }"], "variables": [{"n": 1}], "headers": [{"X-A": "b"}],
        "auth_type": ["none", "bearer", "basic", "api_key"], "auth_token": ["secret"], "auth_username": ["me"], "auth_header_name": ["X-API-Key"],
        "timeout": [30], "max_retries": [3], "retry_delay": [1.0], "pagination_enabled": [False], "pagination_path": ["data.pageInfo"],
        "pagination_cursor_field": ["endCursor"], "pagination_has_next_field": ["hasNextPage"], "pagination_variable_name": ["after"],
        "max_pages": [0], "data_path": ["data"], "flatten_result": [True], "validate_ssl": [True],
    }),
    "mysql.extractor": ({"host": "db", "database": "d", "user": "u", "password": "p", "table": "t"}, {
        "host": ["localhost"], "port": [3306], "database": ["d"], "user": ["u"], "password": ["p"], "table": ["t"], "schema": ["d"], "query": ["select 1 as a"],
        "columns": [["a"]], "limit": [10], "offset": [0, 5], "batch_size": [10000], "pool_size": [5], "pool_recycle": [3600], "echo": [False],
    }),
    "mysql.writer": ({"host": "db", "database": "d", "user": "u", "password": "p", "table": "t"}, {
        "host": ["localhost"], "port": [3306], "database": ["d"], "user": ["u"], "password": ["p"], "table": ["t"], "schema": ["d"],
        "mode": ["append", "replace", "upsert"], "upsert_keys": [["id"]], "batch_size": [1000], "create_table": [True, False], "truncate_before": [False, True],
        "pool_size": [5], "pool_recycle": [3600], "echo": [False],
    }),
    "posthog.extractor": ({"api_key": "k", "project_id": "1", "data_type": "events", "custom_base_url": "https://posthog.example.org"}, {
        "api_key": ["k"], "project_id": ["1"], "region": ["us", "eu", "self_hosted"], "custom_base_url": ["https://posthog.example.org"],
        "data_type": ["events", "persons", "sessions", "person_distinct_ids"], "event_types": [["$pageview"]], "lookback_window_minutes": [15],
        "initial_since": ["2024-01-01T00:00:00Z"], "page_size": [1000], "deduplication_enabled": [True],
    }),
    "supabase.extractor": ({"url": "https://a.supabase.co", "key": "k", "table": "t"}, {
        "url": ["https://a.supabase.co"], "key": ["k"], "project_id": ["a"], "table": ["t"], "schema": ["public"], "select": ["*", "id,name"],
        "filter": [{"status": "active"}], "order": ["id.desc"], "limit": [1000], "offset": [0, 5], "timeout": [30], "retries": [3], "tables": [["t"]],
    }),
    "supabase.writer": ({"url": "https://a.supabase.co", "key": "k", "table": "t"}, {
        "url": ["https://a.supabase.co"], "key": ["k"], "project_id": ["a"], "table": ["t"], "schema": ["public"], "write_mode": ["append", "replace", "upsert"],
        "primary_key": [["id"], "id"], "returning": ["minimal"], "create_if_missing": [True, False], "batch_size": [100], "timeout": [30], "retries": [3],
        "ddl_channel": ["auto", "http_sql", "psycopg2"], "prefer": ["return=minimal", "return=representation", "resolution=merge-duplicates", "resolution=ignore-duplicates"],
    }),
}  # fmt: skip

# What else an option requires.
TOGETHER = {
    "mysql.extractor": {"query": {"table": None}},
    "graphql.extractor": {
        "auth_type": {"auth_token": "secret", "auth_username": "me"}, "auth_token": {"auth_type": "bearer"},
        "auth_username": {"auth_type": "basic", "auth_token": "secret"}, "auth_header_name": {"auth_type": "api_key", "auth_token": "secret"},
    },
    "mysql.writer": {"mode": {"primary_key": ["id"]}, "upsert_keys": {"mode": "upsert"}},
    "supabase.writer": {"write_mode": {"primary_key": ["id"]}, "prefer": {"primary_key": ["id"]}},
    "supabase.extractor": {"tables": {"table": None}},
}  # fmt: skip

# Notes in addition to what the specs declare.
NOTES = {
    ("filesystem.csv_extractor", "header"): "`0` is `true`, `null` is `false`",
    ("filesystem.csv_extractor", "dtype"): "DuckDB's types; they are checked value by value",
    ("filesystem.csv_extractor", "compression"): "also `zstd`; `infer` uses the first bytes",
    ("filesystem.csv_extractor", "connection"): "`@filesystem.<alias>`; `path` is relative to its `base_dir`",
    ("supabase.extractor", "filter"): "by column: a value, a list of values, or a condition such as `gte.5`",
    ("supabase.extractor", "project_id"): "needs `url` as well: a step may only call a URL that is written in the config or the connection",
    ("supabase.writer", "project_id"): "needs `url` as well: a step may only call a URL that is written in the config or the connection",
    ("supabase.writer", "create_if_missing"): "the API cannot create tables; the error for a missing table shows the statement that creates it",
    ("posthog.extractor", "region"): "needs `url: https://us.posthog.com` or `https://eu.posthog.com` in the connection as well: a step may only call a URL that is written in the config or the connection",
    ("supabase.extractor", "order"): "as text, or as a list",
    ("supabase.writer", "primary_key"): "as text, or as a list",
    ("mysql.extractor", "schema"): "the database",
    ("mysql.writer", "schema"): "the database",
}  # fmt: skip

PIPELINE = """## A pipeline's own keys

| key in Python Osiris | here |
|---|---|
| `oml_version`, `name`, `steps` | the same |
| `description` | accepted without effect |
| `metadata` | accepted without effect; it is recorded in the session's manifest |
| `schedule` | accepted without effect: Osiris has no scheduler; let cron, systemd or an orchestrator start `osiris run` |
| any other key | refused, and the error suggests the most similar known key. Python Osiris only warns, but the key may be misspelled |
| `params`, `profiles` | the same |
| a step's `id`, `component`, `mode`, `config`, `needs` | the same; a step without `needs` needs the one before it |
| `connection: "@family.alias"` | the same, from `osiris_connections.yaml` |
"""


def spec(project: Project, component: str) -> dict:
    done = project.osiris("drivers", "inspect", component, "--json")
    return json.loads(done.stdout)["spec"] if done.returncode == 0 else {}


def became(spec: dict, option: str) -> str:
    """The equivalent of an option: itself, another one, accepted without effect, or none."""
    if option == "connection" or option in spec.get("configSchema", {}).get("properties", {}):
        return "the same"
    if name := spec.get("aliases", {}).get(option):
        return f"`{name}`"
    if reason := spec.get("ignored", {}).get(option):
        return f"accepted without effect: {reason}"
    return "NOT ACCEPTED"


def page(specs: dict[str, dict]) -> str:
    parts = [
        "# Options of Python Osiris\n\nA pipeline written for Python Osiris 0.5.7 runs unchanged, except that two kinds of connection need one more line\n"
        "(`url`; see the notes): every option of its component specs is accepted. This page shows the equivalent of each option.\nThe tests generate it from the "
        "drivers' specs (`BLESS=1` regenerates it). An option without effect causes a warning with the\nreason.\n",
    ]
    for component, (_, options) in OPTIONS.items():
        lines = [f"## {component}\n", "| option in Python Osiris | here | note |", "|---|---|---|"]
        lines += [f"| `{option}` | {became(specs[component], option)} | {NOTES.get((component, option), '')} |" for option in options]
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, PIPELINE])
