"""Random records through random APIs: http.extractor compared with what the server was given to send. Nothing may differ silently.

Each read has records of random JSON, cut into pages of random sizes, which one of several styles of pagination serves, in a
random encoding, with faults that pass. Half of the reads are incremental: two runs, between which records are added.

    python tests/suite/differential_http.py [--seed N] [--reads N]
"""

import argparse
import gzip
import json
import random
import shutil
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import differential_values as values
import duckdb
import type_compare
from conftest import Project
from differential_runs import Findings, message
from http_server import Reply, Request, Server, cut_chunks
from http_steps import grant
from type_compare import Json, Kind

STYLES = ["none", "lines", "page", "holes", "short", "offset", "filtered", "cursor", "scan", "log", "link", "next_url", "body"]
ENDS = [None, "", False, "absent"]


@dataclass
class Read:
    """One API and the step that reads it."""

    number: int
    style: str
    records: list[str]
    """Each record's JSON, in the order in which the server has them."""
    columns: list[list]
    instants: list[str] | None
    """The cursor of each record as JSON, where the read is incremental."""
    rng: random.Random
    size: int
    wrapper: str
    encoding: str
    inclusive: bool
    end: object
    there: int
    """How many of the records are there yet."""
    config: dict

    def __post_init__(self):
        self.failed: set[str] = set()
        self.tokens = {}

    # -- What is sent

    def answer(self, request: Request) -> Reply:
        key = json.dumps([request.query, request.body.decode()], sort_keys=True)
        fault = self.rng.random() < 0.08 and key not in self.failed
        self.failed.add(key)
        reply = self.page(request)
        if not fault:
            return reply
        return self.rng.choice([
            Reply({"message": "later"}, 503),
            Reply({"message": "slowly"}, 429, {"retry-after": "0"}),
            Reply({"state": "running"}, 202),
            Reply(body=reply.body[: len(reply.body) // 2], headers={"content-length": str(len(reply.body))}, close=True),
            cut_chunks(reply.body[:-1]),
        ])  # fmt: skip

    def since(self, request: Request) -> list[str]:
        found = self.records[: self.there]
        given = request.query.get("since")
        if self.instants is None or given is None or self.inclusive is None:
            return found
        spelled = [json.loads(instant, parse_float=str, parse_int=str) for instant in self.instants[: self.there]]
        place = spelled.index(given)
        if not self.inclusive:
            place = max(index for index, instant in enumerate(spelled) if instant == given) + 1
        return found[place:]

    def page(self, request: Request) -> Reply:
        records, query, headers = self.since(request), request.query, {}
        asked = json.loads(request.body) if request.body else query
        number = int(asked.get("page", asked.get("cursor_page", asked.get("offset", 0))))
        around = {}
        if self.style in ("none", "lines"):
            page = records
        elif self.style == "filtered":
            # Every third is omitted after the page was cut.
            whole = [one for record in records for one in (record, None)]
            page = [record for record in whole[number : number + self.size] if record]
        elif self.style == "offset":
            page = records[number : number + min(self.size, 3)]
        elif self.style in ("page", "short", "body"):
            page = records[number * self.size :][: self.size]
        elif self.style == "holes":
            # Every second page is empty.
            page = [] if number % 2 else records[number // 2 * self.size :][: self.size]
            around["more"] = self.rng.choice([True, "true", 1]) if (number // 2 + 1) * self.size < len(records) else self.rng.choice([False, "false", 0])
        else:
            start = self.place(request)
            page = records[start : start + self.size]
            headers = self.follow(around, start, start + self.size < len(records), request)
        return self.encoded(page, around, headers)

    def place(self, request: Request) -> int:
        if self.style in ("link", "next_url"):
            return int(request.query.get("from", 0))
        token = request.query.get("token")
        return 0 if token is None else self.tokens[token]

    def follow(self, around: dict, start: int, more: bool, request: Request) -> dict:
        """Adds where the next page is; returns its headers."""
        since = f"&since={request.query['since']}".replace("+", "%2B") if "since" in request.query else ""
        address = f"{request.path}?from={start + self.size}{since}"
        if self.style == "link":
            links = ['</docs>; rel="help"; title="a, b; rel=next"', f'<{address}>; rel={self.rng.choice(["next", chr(34) + "last next" + chr(34)])}']
            return {"link": ", ".join(links if more else links[:1])}
        if self.style == "next_url":
            if more or self.end != "absent":
                around["next"] = address if more else self.end
            return {}
        token: object = self.rng.choice([f"t+/{start}=&%41", start + 10**22, f"{start}.50"])
        if self.style == "log" and not more:
            # The last page names itself, as the feed of a log does.
            token = "end" if start + self.size <= self.there + self.size else "end"
            self.tokens[str(token)] = 10**9
        elif not more:
            token = 0 if self.style == "scan" else self.end
        else:
            self.tokens[str(token)] = start + self.size
        if token != "absent":
            around["next"] = token
        return {}

    def encoded(self, page: list[str], around: dict, headers: dict) -> Reply:
        if not page and not around and self.rng.random() < 0.3:
            return Reply(status=204, body=b"", headers={"content-type": None})
        if self.style == "lines":
            text, kind = self.rng.choice(["\n", "\r\n", "\n\n"]).join(page) + "\n", self.rng.choice(["application/x-ndjson", "application/jsonl"])
        else:
            text, kind = "[" + ",\n".join(page) + "]", "application/json"
            for name in reversed(self.wrapper.split(".") if self.wrapper else []):
                inside = [f'"{name}": {text}', *(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in around.items())]
                self.rng.shuffle(inside)
                text, around = "{" + ", ".join(inside) + "}", {}
        if self.encoding == "escaped":
            text = "".join(letter if letter < "\x7f" else json.dumps(letter)[1:-1] for letter in text)
        mark = {"marked": "utf-8-sig", "utf-16": "utf-16", "utf-16le": "utf-16-le"}.get(self.encoding)
        body = text.encode(mark or "utf-8")
        if mark and mark != "utf-8-sig":
            kind += f"; charset={self.encoding}"
        said = {"gzip": (gzip.compress(body), "gzip"), "unsaid": (gzip.compress(body), None), "deflate": (zlib.compress(body), "deflate"), "bare": (zlib.compress(body)[2:-4], "deflate")}
        body, compression = said.get(self.encoding, (body, None))
        return Reply(body=body, headers={"content-type": kind} | ({"content-encoding": compression} if compression else {}) | headers)


class Apis:
    """Reads random APIs, batch by batch."""

    def __init__(self, project: Project, rng: random.Random):
        self.project, self.rng, self.findings, self.batches = project, rng, Findings(), 0

    def batch(self, reads: int, width: int, rows: int) -> None:
        self.batches += 1
        server = Server()
        grant(self.project, server)
        made = [self.read(number, width, rows) for number in range(reads)]
        try:
            for read in made:
                server.route(f"/api{read.number}", read.answer)
            shutil.rmtree(self.project.folder / ".osiris_sessions", ignore_errors=True)
            (self.project.folder / "osiris.lock").unlink(missing_ok=True)
            found: dict[int, list] = {read.number: [] for read in made}
            for read in made:
                read.there = len(read.records) if read.instants is None else self.split(read)
            self.run(made, found)
            incremental = [read for read in made if read.instants is not None]
            for read in incremental:
                read.there = len(read.records)
                read.failed.clear()
            self.run(made, found, second=True)
        finally:
            server.close()
        self.findings.counts["reads"] += reads
        for read in made:
            if why := self.judge(read, found[read.number]):
                self.findings.differences.append(f"HTTP: read {read.number}, {read.style}, {read.encoding}, {read.config}: {why}")

    def read(self, number: int, width: int, rows: int) -> Read:
        rng, count = self.rng, self.rng.choice([0, 1, self.rng.randint(1, rows), self.rng.randint(1, rows)])
        style = rng.choice(STYLES)
        columns = [[value if is_json(value) else "null" for value in values.json_column(rng, count)] if count else [] for _ in range(width)]
        instants = self.instants(count) if rng.random() < 0.5 else None
        records = []
        for row in range(count):
            fields = [f'"c{place}": {column[row]}' for place, column in enumerate(columns) if column[row] is not None]
            cursor = [f'"at": {instants[row]}'] if instants else []
            records.append("{" + ", ".join([f'"id": {row}', *cursor, *fields]) + "}")
        # Something remains of a filtered page; an empty one would be the end.
        size, wrapper = rng.randint(2 if style == "filtered" else 1, 8), rng.choice(["items", "data.list"])
        if style in ("none", "page", "short", "offset", "filtered", "body", "link"):
            wrapper = rng.choice(["", wrapper])
        if style in ("cursor", "scan", "log", "next_url", "holes"):
            wrapper = "items"
        pagination = {
            "page": {"type": "page", "start": 0},
            "short": {"type": "page", "start": 0, "last_page": "short"},
            "body": {"type": "page", "start": 0, "in": "body"},
            "holes": {"type": "page", "start": 0, "has_more_path": "$.more"},
            "offset": {"type": "offset", "size_param": "n", "size": size},
            "filtered": {"type": "offset", "size_param": "n", "size": size, "step": "size"},
            "cursor": {"type": "cursor", "param": "token", "path": "$.next"},
            "log": {"type": "cursor", "param": "token", "path": "$.next"},
            "scan": {"type": "cursor", "param": "token", "path": "$.next", "end_value": 0},
            "link": {"type": "link"},
            "next_url": {"type": "next_url", "path": "$.next"},
        }.get(style)
        config = {"connection": "@http.api0", "path": f"/api{number}", "retry_delay": 0.001, "max_retries": 6, "dtype": {"id": "BIGINT"}}
        config |= {"pagination": pagination} if pagination else {}
        config |= {"records_path": wrapper} if wrapper and style != "lines" else {}
        config |= {"method": "POST", "retry_post": True} if style == "body" else {}
        config |= {"cursor": {"param": "since", "field": "at"}} if instants else {}
        encoding = rng.choice(["", "", "escaped", "marked", "utf-16", "utf-16le", "gzip", "unsaid", "deflate", "bare"])
        inclusive, end = rng.choice([True, False, None]), rng.choice(ENDS)
        # The server's random choices must not depend on the order in which steps ask.
        own = random.Random(rng.random())
        return Read(number, style, records, columns, instants, own, size, wrapper, encoding, inclusive, end, count, config)

    def instants(self, count: int) -> list[str]:
        """Increasing values with ties, in one notation."""
        ranks, rank = [], 0
        for _ in range(count):
            rank += self.rng.choice([0, 1, 7])
            ranks.append(rank)
        spelled = self.rng.choice([
            lambda rank: str(rank),
            lambda rank: f'"{rank + 95}"',
            lambda rank: f"{10**25 + rank}",
            lambda rank: f'"{rank + 98}.5"',
            lambda rank: f'"2024-02-{1 + rank // 24 % 29:02}T{rank % 24:02}:00:00Z"',
            lambda rank: f'"2024-02-{1 + rank // 24 % 29:02} {rank % 24:02}:30:00.25+02:00"',
            lambda rank: f'"2024-02-{1 + rank % 29:02}"' if ranks[-1] < 29 else f'"20{rank // 300 + 10}-{rank // 25 % 12 + 1:02}-{rank % 25 + 1:02}"',
        ])  # fmt: skip
        return [spelled(rank) for rank in ranks]

    def split(self, read: Read) -> int:
        """How many records the first run sees. A server that interprets "since" as "after" never returns later ones
        of the same value."""
        place = self.rng.randint(0, len(read.records))
        while not read.inclusive and 0 < place < len(read.records) and read.instants[place] == read.instants[place - 1]:
            place += 1
        return place

    def run(self, made: list[Read], found: dict[int, list], second: bool = False) -> None:
        chosen = [read for read in made if not second or read.instants is not None]
        steps = [{"id": f"read-{read.number}", "needs": [], "component": "http.extractor", "config": read.config} for read in chosen]
        if not steps:
            return
        # A separate name, since states outlive the sessions of a batch.
        self.project.pipeline(steps, name=f"fuzz-{self.batches}")
        done = self.project.osiris("run", "pipeline.yaml", "--json", timeout=900)
        assert done.returncode in (0, 1), f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        result = json.loads(done.stdout)
        for step in result["steps"]:
            found[int(step["id"].split("-")[1])].append(step | {"path": Path(result["session_path"]) / "data" / f"{step['id']}.duckdb"})

    def judge(self, read: Read, runs: list[dict]) -> str | None:
        """What is wrong with the rows that were read, if anything."""
        became: dict[int, dict] = {}
        for step in runs:
            if step["status"] != "success":
                return f"refused: {message(step)[:400]}"
            with duckdb.connect(str(step["path"]), read_only=True) as connection:
                connection.execute("set timezone = 'UTC'")
                kinds = {row[0]: row[1] for row in connection.execute("describe main").fetchall()}
                names = [f"c{place}" for place in range(len(read.columns)) if f"c{place}" in kinds]
                parsed = {name: type_compare.parse(kinds[name]) for name in names}
                shown = [f"to_json({name}{'' if parsed[name].nameless else '::' + parsed[name].textual})::varchar" for name in names]
                for row in connection.execute(f"select {', '.join(['id', *shown])} from main").fetchall():
                    if row[0] in became:
                        return f"record {row[0]} came twice"
                    trees = {name: (type_compare.document(text) if parsed[name].nameless and text else type_compare.tree(text, parsed[name]), parsed[name]) for name, text in zip(names, row[1:])}
                    became[row[0]] = trees
        if sorted(became) != list(range(len(read.records))):
            return f"{len(became)} of {len(read.records)} records: {sorted(set(range(len(read.records))) ^ set(became))[:9]} differ"
        for place, column in enumerate(read.columns):
            for row, value in enumerate(column):
                tree, kind = became[row].get(f"c{place}", (None, Kind("?")))
                if not same(None if value is None else type_compare.document(value), tree, kind):
                    return f"record {row}: {value} became {tree!r} ({kind})"
        return None


def is_json(value: str | None) -> bool:
    try:
        return value is None or json.loads(value) is not Ellipsis
    except ValueError:
        return False


def same(was, became, kind: Kind) -> bool:
    """Whether a value in a response is complete in the value that was read as `kind`. Scalars of several types are
    texts, by the README."""
    if isinstance(became, Json):
        return kind.name == "JSON" and same(was, type_compare.document(became.text), Kind("?"))
    if was is None or became is None:
        return was is None and became is None
    if isinstance(was, list):
        part = kind.parts[0] if kind.name == "LIST" else Kind("?")
        return isinstance(became, list) and len(was) == len(became) and all(same(*pair, part) for pair in zip(was, became))
    if isinstance(was, dict):
        kinds = dict(zip(kind.names, kind.parts)) if kind.names else {}
        return isinstance(became, dict) and all(same(was.get(name), became.get(name), kinds.get(name, Kind("?"))) for name in {**was, **became})
    if isinstance(was, bool):
        return became is was or (kind.name in ("BOOLEAN", "VARCHAR") and became == str(was).lower())
    if isinstance(was, type_compare.Number):
        if not (kind.name in ("BIGINT", "DECIMAL", "DOUBLE", "VARCHAR") or isinstance(became, type_compare.Number)):
            return False
        signless = type_compare.same_number("0", was.lstrip("-")) and type_compare.same_number("0", became.lstrip("-"))
        return type_compare.same_number(was, became) or signless
    return kind.name in ("VARCHAR", "?") and not isinstance(became, type_compare.Number) and was == became


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments.add_argument("--reads", type=int, default=2000)
    arguments.add_argument("--stop", type=int, default=20, help="stop at so many differences")
    given = arguments.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="osiris-differential-") as folder:
        fuzz = Apis(Project(Path(folder)), random.Random(given.seed))
        while fuzz.findings.counts["reads"] < given.reads and len(fuzz.findings.differences) < given.stop:
            fuzz.batch(reads=60, width=6, rows=30)
            print(fuzz.findings, flush=True)
        print(f"seed {given.seed}")
        return int(any(fuzz.findings.differences))


if __name__ == "__main__":
    sys.exit(main())
