"""The corpus of attacks, read from the head of each file in tests/guests/attacks."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FOLDER = ROOT / "tests" / "guests" / "attacks"
LAYERS = {"imports", "contract", "duckdb", "limits", "system", "format", "nothing"}


@dataclass(frozen=True)
class Attack:
    name: str
    group: str
    what: str
    stopped_by: str
    kind: str
    words: str
    flags: tuple[str, ...]
    alone: tuple[str, ...]
    sql: str

    @property
    def seen_as(self) -> str:
        return self.kind if not self.words else f"{self.kind}: {self.words}"


def read(path: Path, group: str) -> Attack:
    comment = {".rs": "//!", ".sql": "--"}[path.suffix]
    lines = path.read_text().splitlines()
    head = [line.removeprefix(comment).strip() for line in lines if line.startswith(comment)]
    fields = dict(line.split(": ", 1) for line in head[1:] if re.match(r"^(stopped by|seen as|flags|alone): ", line))
    kind, _, words = fields["seen as"].partition(":")
    body = "\n".join(line for line in lines if not re.match(r"-- ([A-Z]|stopped by|seen as|flags|alone)", line))
    return Attack(
        name=path.stem,
        group=group,
        what=head[0],
        stopped_by=fields["stopped by"],
        kind=kind.strip(),
        words=words.strip(),
        flags=tuple(fields.get("flags", "").split()),
        alone=tuple(fields.get("alone", "").split(", ")),
        sql=body if path.suffix == ".sql" else "",
    )


GUEST = [read(path, "guest") for path in sorted((FOLDER / "src").glob("*.rs")) if path.stem not in ("lib", "prelude", "sql")]
NETWORK = [
    read(path, "network") for path in sorted((FOLDER.parent / "network-attacks" / "src").glob("*.rs")) if path.stem not in ("lib", "prelude")
]
SQL = [read(path, "sql") for path in sorted((FOLDER / "sql").glob("*.sql"))]


def table() -> str:
    """The corpus in the form of docs/security.md."""
    head = f"{len(GUEST)} attacks by a driver's own code, {len(SQL)} by its SQL and {len(NETWORK)} over the network that it was granted.\n\n| attack | what it does | stopped by | what the user sees |\n|---|---|---|---|\n"
    rows = [f"| `{attack.group}/{attack.name}` | {attack.what} | {attack.stopped_by} | {attack.seen_as} |" for attack in GUEST + SQL + NETWORK]
    return head + "\n".join(rows) + "\n"


def write_table() -> None:
    """Writes the table between its marks in docs/security.md."""
    file = ROOT / "docs" / "security.md"
    before, rest = file.read_text().split("<!-- corpus -->\n", 1)
    _, after = rest.split("<!-- /corpus -->", 1)
    file.write_text(f"{before}<!-- corpus -->\n{table()}<!-- /corpus -->{after}")


if __name__ == "__main__":
    write_table()
