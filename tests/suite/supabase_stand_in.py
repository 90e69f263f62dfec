"""A stand-in for Supabase: the parts of PostgREST 12 that the drivers use, over tables of a real PostgreSQL.

It is not PostgREST. It responds as PostgREST's manual says (Prefer, Range, filters, on_conflict, errors by SQLSTATE) and
as Supabase's gateway does (`apikey`), inserts by `json_populate_recordset` as PostgREST does, and runs each
request in one transaction. `plan` makes it fail on purpose.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from psycopg import sql

KEY = "canary-supabase/key+1"
OPERATORS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like"}


class Refused(Exception):
    """An error in PostgREST's form."""

    def __init__(self, status: int, code: str | None, message: str, details: str | None = None, hint: str | None = None):
        super().__init__(message)
        self.status, self.body = status, {"code": code, "details": details, "hint": hint, "message": message}


def status_of(sqlstate: str) -> int:
    """PostgREST's table of statuses by SQLSTATE."""
    exact = {"23503": 409, "23505": 409, "25006": 405, "42883": 404, "42P01": 404, "42P17": 500, "42501": 403, "P0001": 400}
    classes = {"08": 503, "09": 500, "0L": 403, "0P": 403, "25": 500, "28": 403, "2D": 500, "38": 500, "39": 500, "3B": 500,
               "40": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500, "P0": 500}  # fmt: skip
    return exact.get(sqlstate) or classes.get(sqlstate[:2]) or 400


def split(text: str, separator: str = ",") -> list[str]:
    """The parts between separators, ignoring those in quotes and parentheses; quotes are kept."""
    parts, depth, quoted, part, escaped = [], 0, False, "", False
    for letter in text:
        if escaped or (quoted and letter == "\\"):
            escaped = not escaped
        elif letter == '"':
            quoted = not quoted
        elif not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
        elif not quoted and depth == 0 and letter == separator:
            parts.append(part)
            part = ""
            continue
        part += letter
    return [*parts, part] if part or parts else []


def bare(text: str) -> str:
    """A name or value without its quotes."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return text


def condition(column: str, expression: str) -> sql.Composable:
    operator, _, value = expression.partition(".")
    name = sql.Identifier(column)
    if operator == "not":
        return sql.SQL("not ({})").format(condition(column, value))
    if operator == "is" and value in ("null", "true", "false"):
        return sql.SQL("{} is " + value).format(name)
    if operator == "in" and value[:1] == "(" and value[-1:] == ")":
        values = [sql.Literal(bare(one)) for one in split(value[1:-1])]
        return sql.SQL("{} in ({})").format(name, sql.SQL(", ").join(values)) if values else sql.SQL("false")
    if operator in OPERATORS:
        return sql.SQL("{} " + OPERATORS[operator] + " {}").format(name, sql.Literal(bare(value) if '"' in value else value))
    raise Refused(400, "PGRST100", f'"failed to parse filter ({expression})" (line 1, column 1)')


def logic(operator: str, text: str) -> sql.Composable:
    parts = []
    for part in split(text.strip()[1:-1]):
        nested = next((word for word in ("and", "or") if part.startswith(word + "(")), None)
        if nested:
            parts.append(logic(nested, part[len(nested) :]))
        else:
            column, expression = split(part, ".")[0], part[len(split(part, ".")[0]) + 1 :]
            parts.append(condition(bare(column), expression))
    return sql.SQL("({})").format(sql.SQL(f" {operator} ").join(parts))


def where(query: list[tuple[str, str]]) -> sql.Composable:
    reserved = ("select", "order", "limit", "offset", "columns", "on_conflict")
    conditions = [logic(name, value) if name in ("and", "or") else condition(name, value) for name, value in query if name not in reserved]
    return sql.SQL(" where ") + sql.SQL(" and ").join(conditions) if conditions else sql.SQL("")


def selected(query: list[tuple[str, str]], columns: list[str]) -> sql.Composable:
    """The columns of `select`: `name`, `alias:name`, `name::type`."""
    parts = []
    for part in split(dict(query).get("select", "*")):
        whole, _, kind = part.partition("::")
        names = split(whole, ":")
        column = names[-1]
        if column == "*":
            parts += [sql.Identifier(name) for name in columns]
            continue
        cast = sql.SQL("::" + kind) if kind.isalnum() else sql.SQL("")
        parts.append(sql.SQL("{}{} as {}").format(sql.Identifier(bare(column)), cast, sql.Identifier(bare(names[0]))))
    return sql.SQL(", ").join(parts)


def ordering(text: str | None) -> sql.Composable:
    parts = []
    for part in split(text or ""):
        column, *words = split(part, ".")
        sense = " ".join({"asc": "asc", "desc": "desc", "nullsfirst": "nulls first", "nullslast": "nulls last"}[word] for word in words)
        parts.append(sql.SQL("{} " + sense).format(sql.Identifier(bare(column))))
    return sql.SQL(" order by ") + sql.SQL(", ").join(parts) if parts else sql.SQL("")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "SupabaseStandIn"

    def handle_any(self):
        length = int(self.headers.get("content-length") or 0)
        self.content = self.rfile.read(length)
        fault = self.server.next_fault(self.command)
        self.server.seen.append((self.command, unquote(self.path), {name.lower(): value for name, value in self.headers.items()}, len(self.content)))
        if fault == "cut before":
            return self.cut()
        if isinstance(fault, tuple) and fault[0] == "sleep":
            time.sleep(fault[1])
        elif isinstance(fault, tuple):
            status, headers = fault
            return self.answer(status, {"message": "fault on purpose", "code": None, "details": None, "hint": None}, headers)
        elif callable(fault):
            fault()
        try:
            status, body, headers = self.work()
        except Refused as refused:
            status, body, headers = refused.status, refused.body, {}
        except psycopg.Error as error:
            told = error.diag
            body = {"code": error.sqlstate, "message": told.message_primary, "details": told.message_detail, "hint": told.message_hint}
            status, headers = status_of(error.sqlstate or "XX000"), {}
        if fault == "cut after":
            return self.cut()
        self.answer(status, body, headers, truncated=fault == "truncate")

    do_GET = do_POST = do_DELETE = do_PATCH = handle_any

    def cut(self):
        self.close_connection = True
        self.connection.close()

    def answer(self, status: int, body, headers: dict[str, str] | None = None, truncated: bool = False):
        content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if truncated else content)
        if truncated:
            self.cut()

    def log_message(self, *_):
        pass

    def work(self) -> tuple[int, object, dict[str, str]]:
        if self.headers.get("apikey") != KEY or self.headers.get("authorization") != f"Bearer {KEY}":
            # As Supabase's gateway responds.
            raise Refused(401, None, "Invalid API key", hint="Double check your Supabase `anon` or `service_role` API key.")
        address = urlsplit(self.path)
        prefix = self.server.prefix + "/"
        if not (address.path + "/").startswith(prefix):
            return 404, {"message": "no Route matched with those values"}, {}
        table = unquote(address.path[len(prefix) :])
        query = parse_qsl(address.query, keep_blank_values=True)
        schema = self.headers.get("accept-profile" if self.command == "GET" else "content-profile") or "public"
        if schema not in self.server.schemas:
            raise Refused(406, "PGRST106", f"Invalid schema: {schema}", hint=f"Only the following schemas are exposed: {', '.join(self.server.schemas)}")
        with self.server.connect() as connection:
            columns = self.server.columns(connection, schema)
            if not table:
                return 200, self.server.description(columns), {}
            if table not in columns:
                raise Refused(404, "PGRST205", f"Could not find the table '{schema}.{table}' in the schema cache")
            name = sql.Identifier(schema, table)
            act = {"GET": self.read, "POST": self.insert, "DELETE": self.delete}.get(self.command)
            if not act:
                raise Refused(405, "PGRST117", "Unsupported HTTP method: " + self.command)
            return act(connection, name, table, columns[table], query)

    def prefer(self) -> set[str]:
        return {part.strip() for part in (self.headers.get("prefer") or "").split(",") if part.strip()}

    def read(self, connection, name, table, columns, query):
        first, last = int(dict(query).get("offset", 0)), None
        if unit := self.headers.get("range"):
            first, last = (int(one) if one else None for one in unit.split("-"))
        limit = min(self.server.max_rows, last - first + 1 if last is not None else self.server.max_rows, int(dict(query).get("limit", self.server.max_rows)))
        chosen = selected(query, list(columns))
        rest = sql.SQL(" from {}{}").format(name, where(query))
        total = "*"
        if "count=exact" in self.prefer():
            total = connection.execute(sql.SQL("select count(*)") + rest).fetchone()[0]
            if first > total:
                raise Refused(416, "PGRST103", "Requested range not satisfiable", f"An offset of {first} was requested, but there are only {total} rows.")
        page = sql.SQL("select {}{}{} limit {} offset {}").format(chosen, rest, ordering(dict(query).get("order")), limit, first)
        rows = connection.execute(sql.SQL("select coalesce(json_agg(t), '[]')::text, count(*) from ({}) t").format(page)).fetchone()
        count = rows[1]
        span = f"{first}-{first + count - 1}" if count else "*"
        partial = total != "*" and count < total
        return 206 if partial else 200, rows[0], {"content-range": f"{span}/{total}"}

    def insert(self, connection, name, table, columns, query):
        try:
            rows = json.loads(self.content, parse_constant=lambda constant: (_ for _ in ()).throw(ValueError(constant)))
        except ValueError:
            raise Refused(400, "PGRST102", "Empty or invalid json") from None
        rows = rows if isinstance(rows, list) else [rows]
        wanted = [bare(column) for column in split(dict(query).get("columns", ""))] or (list(rows[0]) if rows else [])
        for column in wanted:
            if column not in columns:
                raise Refused(400, "PGRST204", f"Could not find the '{column}' column of '{table}' in the schema cache")
        prefer = self.prefer()
        chosen = sql.SQL(", ").join(map(sql.Identifier, wanted))
        representation = "return=representation" in prefer
        statement = sql.SQL("insert into {} ({}) select {} from json_populate_recordset(null::{}, {})").format(
            name, chosen, chosen, name, sql.Literal(self.content.decode())
        )
        key = [bare(column) for column in split(dict(query).get("on_conflict", ""))]
        resolution = next((part.split("=")[1] for part in prefer if part.startswith("resolution=")), None)
        if resolution and key:
            rest = [column for column in wanted if column not in key]
            sets = sql.SQL(", ").join(sql.SQL("{} = excluded.{}").format(sql.Identifier(one), sql.Identifier(one)) for one in rest or key)
            action = sql.SQL("do nothing") if resolution == "ignore-duplicates" else sql.SQL("do update set {}").format(sets)
            statement += sql.SQL(" on conflict ({}) ").format(sql.SQL(", ").join(map(sql.Identifier, key))) + action
        whole = sql.SQL("with pgrst_source as ({} returning {}.*) select coalesce(json_agg(t), '[]')::text, count(*) from (select {} from pgrst_source) t")
        rows, count = connection.execute(whole.format(statement, name, selected(query, list(columns)))).fetchone()
        total = count if "count=exact" in prefer else "*"
        return 201, rows if representation else None, {"content-range": f"*/{total}"}

    def delete(self, connection, name, table, columns, query):
        condition = where(query)
        if not condition.as_string(connection):
            raise Refused(400, "21000", "DELETE requires a WHERE clause")
        connection.execute(sql.SQL("delete from {}{}").format(name, condition))
        return 204, None, {"content-range": "*/*"}


class SupabaseStandIn(ThreadingHTTPServer):
    """A project on a free port of 127.0.0.1, over the database that `connect` opens."""

    # Closing waits for late requests, which would otherwise change the next test's tables.
    daemon_threads = False

    def __init__(self, open_database, prefix: str = "/rest/v1", max_rows: int = 1000):
        super().__init__(("127.0.0.1", 0), Handler)
        self.open_database, self.prefix, self.max_rows, self.schemas = open_database, prefix, max_rows, ["public", "private"]
        self.seen: list[tuple] = []
        self.faults: dict[str, list] = {}
        self.guard = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def connection(self, **more) -> dict:
        """The connection as in a pipeline."""
        whole = {"url": self.url, "key": KEY} | more
        return {name: value for name, value in whole.items() if value is not None}

    def plan(self, method: str, *faults) -> None:
        """What goes wrong in the next requests of a method, one after another: None, (status, headers), `cut before`
        or `cut after` the work, `truncate`, ("sleep", seconds), or a function to call first."""
        self.faults[method] = list(faults)

    def next_fault(self, method: str):
        with self.guard:
            planned = self.faults.get(method)
            return planned.pop(0) if planned else None

    def requests(self, method: str) -> list[tuple]:
        return [request for request in self.seen if request[0] == method]

    def connect(self) -> psycopg.Connection:
        """A connection for one request; as with PostgREST's pool, the request waits for one that is not available
        yet."""
        deadline = time.monotonic() + 10
        while True:
            try:
                connection = self.open_database()
                break
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Refused(503, "PGRST003", "Timed out acquiring connection from connection pool.", str(error)) from error
                time.sleep(0.05)
        connection.autocommit = False
        return connection

    def columns(self, connection, schema: str) -> dict[str, dict]:
        found: dict[str, dict] = {}
        rows = connection.execute(
            """select c.relname, a.attname, a.attnotnull and not a.atthasdef,
                 coalesce((select true from pg_index i where i.indrelid = c.oid and i.indisprimary and a.attnum = any(i.indkey)), false),
                 case when b.typnamespace = 'pg_catalog'::regnamespace then format_type(b.oid, null) else format_type(a.atttypid, null) end,
                 information_schema._pg_char_max_length(b.oid, case when t.typtype = 'd' then t.typtypmod else a.atttypmod end),
                 (select array_agg(e.enumlabel::text order by e.enumsortorder) from pg_enum e where e.enumtypid = b.oid),
                 (select r.confrelid::regclass::text || '|' || f.attname from pg_constraint r join pg_attribute f on f.attrelid = r.confrelid and f.attnum = r.confkey[1]
                  where r.contype = 'f' and r.conrelid = c.oid and r.conkey = array[a.attnum] limit 1)
               from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
                 join pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
               where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f') and a.attnum > 0 and not a.attisdropped
               order by c.relname, a.attnum""",
            [schema],
        )
        for table, column, *rest in rows:
            found.setdefault(table, {})[column] = rest
        return found

    def description(self, tables: dict[str, dict]) -> dict:
        """OpenAPI 2, as PostgREST describes itself: types without their digits, keys and references as notes."""
        kinds = {"bigint": "integer", "integer": "integer", "smallint": "integer", "boolean": "boolean", "numeric": "number",
                 "double precision": "number", "real": "number", "json": None, "jsonb": None}  # fmt: skip

        def column(_: bool, is_key: bool, kind: str, length: int | None, labels: list | None, reference: str | None) -> dict:
            basic = "array" if kind.endswith("[]") else kinds.get(kind, "string")
            told = {"format": kind} | ({"type": basic} if basic else {})
            told |= ({"maxLength": length} if length else {}) | ({"enum": labels} if labels else {})
            notes = ["Note:", "This is a Primary Key.<pk/>"] if is_key else []
            if reference:
                table, own = reference.split("|")
                notes += [*([] if notes else ["Note:"]), f"This is a Foreign Key to `{table}.{own}`.<fk table='{table}' column='{own}'/>"]
            return told | ({"description": "\n".join(notes)} if notes else {})

        definitions = {
            table: {
                "type": "object",
                "required": [name for name, (required, *_) in columns.items() if required],
                "properties": {name: column(*rest) for name, rest in columns.items()},
            }
            for table, columns in tables.items()
        }
        return {"swagger": "2.0", "info": {"title": "PostgREST API", "version": "12.2.3"}, "definitions": definitions}

    def close(self) -> None:
        self.shutdown()
        self.server_close()
