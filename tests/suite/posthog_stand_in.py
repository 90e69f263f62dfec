"""A PostHog project that answers HogQL queries as PostHog does: lists of values, named by columns, properties as JSON text.

It reads the queries that posthog.extractor writes, by their form, and evaluates them over rows that tests add.
"""

import json
import re
from datetime import datetime, timedelta

from http_server import Reply, Server

ORDER = {"events": ("timestamp", "uuid"), "persons": ("created_at", "id"), "sessions": ("$start_timestamp", "session_id"),
         "person_distinct_ids": ("person_id", "distinct_id")}  # fmt: skip
TIME = r"toDateTime\('([^']*)'\)"
QUERY = re.compile(r"SELECT (?P<columns>.+?) FROM (?P<table>\w+)(?: WHERE (?P<where>.+?))? ORDER BY .+? LIMIT (?P<limit>\d+)(?: OFFSET (?P<offset>\d+))?$")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class PostHog:
    """Answers at `/api/projects/42/query/` of a server."""

    def __init__(self, web: Server, key: str = "phx_key", most: int = 10_000):
        self.web, self.key, self.most = web, key, most
        self.tables: dict[str, list[dict]] = {name: [] for name in ORDER}
        self.queries: list[str] = []
        self.before = lambda request: None
        """What is answered in place of the query's answer, if anything."""
        web.route("/api/projects/42/query/", self.answer)

    def add(self, table: str, *rows: dict):
        self.tables[table].extend(rows)

    def answer(self, request):
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Reply({"type": "authentication_error", "detail": "Invalid personal API key."}, 401)
        query = request.json["query"]
        assert request.method == "POST" and query["kind"] == "HogQLQuery"
        self.queries.append(query["query"])
        if (instead := self.before(request)) is not None:
            return instead
        if query["query"].startswith("SELECT 1"):
            return {"columns": ["one"], "results": [[1]]}
        parts = QUERY.match(query["query"])
        table, where = parts["table"], parts["where"] or ""
        by = ORDER[table]
        rows = sorted(self.tables[table], key=lambda row: tuple(moment(row[name]) if "T" in str(row[name]) else row[name] for name in by))
        rows = [row for row in rows if self.fits(row, by, where)]
        start = int(parts["offset"] or 0)
        page = rows[start : start + min(int(parts["limit"]), self.most)]
        columns = list(dict.fromkeys(name for row in self.tables[table] for name in row)) if parts["columns"] == "*" else parts["columns"].split(", ")
        shown = lambda value: json.dumps(value) if isinstance(value, dict) else value
        return {"columns": columns, "results": [[shown(row.get(name)) for name in columns] for row in page], "hasMore": False}

    def fits(self, row: dict, by: tuple[str, str], where: str) -> bool:
        time, name = by
        quoted = re.escape(time)
        if since := re.search(rf"{quoted} >= {TIME}(?: - INTERVAL (\d+) MINUTE)?", where):
            if moment(row[time]) < moment(since[1]) - timedelta(minutes=int(since[2] or 0)):
                return False
        if (until := re.search(rf"{quoted} < {TIME}", where)) and moment(row[time]) >= moment(until[1]):
            return False
        if types := re.search(r"event IN \((.+?)\)(?: AND|$)", where):
            if row["event"] not in [text.replace("\\'", "'") for text in re.findall(r"'((?:[^'\\]|\\.)*)'", types[1])]:
                return False
        if after := re.search(rf"\({quoted} > {TIME} OR \({quoted} = {TIME} AND {name} > '([^']*)'\)\)", where):
            return (moment(row[time]), row[name]) > (moment(after[1]), after[3])
        return True
