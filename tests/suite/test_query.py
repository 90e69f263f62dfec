"""`osiris query`: where its SELECT comes from, and how its rows are shown."""

import fcntl
import os
import pty
import struct
import subprocess
import termios

import duckdb
import pyarrow
import pyarrow.ipc
import pytest
from conftest import OSIRIS

WIDE = "select i as id, i * 1.5 as amount, repeat('long text ', 30) as t, date '2026-01-01' as d from range(50) t(i)"


def on_terminal(project, columns: int, *arguments) -> str:
    """What a terminal of that width is shown."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen([str(OSIRIS), "query", *arguments], cwd=project.folder, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:
            break
        shown += block
        if not block:
            break
    os.close(ours)
    assert process.wait() == 0, shown
    return shown.decode().replace("\r\n", "\n")


def test_a_table_fits_the_terminal_and_says_how_many_rows_there_are(project):
    project.run([project.sql(WIDE, "wide"), project.sql(f"select {', '.join(f'{i} as c{i}' for i in range(200))}", "broad")])
    for columns in (60, 80, 120):
        shown = on_terminal(project, columns, "latest", "wide")
        assert max(map(len, shown.splitlines())) <= columns and "long text…" in shown or "…" in shown, shown
        assert shown.rstrip().endswith("20 of 50 rows") and "2026-01-01" in shown, shown
        assert len(shown.splitlines()) == 20 + 5, shown
        broad = on_terminal(project, columns, "latest", "broad")
        assert max(map(len, broad.splitlines())) <= columns and "c0 " in broad and "c199" in broad and "columns not shown" in broad, broad
    whole = project.osiris("query", "latest", "wide").stdout
    assert "long text " * 30 in whole and whole.rstrip().endswith("20 of 50 rows")
    # Numbers are aligned to the right, other values to the left.
    assert "│  9     13.5   long" in whole and "│ 10     15.0   long" in whole, whole


def test_a_select_may_come_from_stdin_or_a_file(project):
    project.run([project.sql(WIDE, "wide")])
    project.write("q.sql", "-- how many\nselect count(*) as n, sum(id) as s from wide;\n")
    by_file = project.osiris("query", "latest", "wide", "-f", "q.sql", "--format", "csv")
    assert by_file.stdout == "n,s\n50,1225\n", by_file
    piped = subprocess.run([OSIRIS, "query", "latest", "wide", "-", "--format", "csv"], cwd=project.folder, input="from wide where id = 7", capture_output=True, text=True)
    assert piped.stdout.splitlines()[1].startswith("7,10.5,"), piped
    for arguments, words in ((("-f", "no.sql"), "cannot read the SELECT from `no.sql`"), (("-f", "q.sql", "select 1"), "cannot be used with")):
        done = project.osiris("query", "latest", "wide", *arguments)
        assert done.returncode == 2 and words in done.stderr, done.stderr
    project.write("bad.sql", b"select '\xff'")
    assert project.osiris("query", "latest", "wide", "-f", "bad.sql").returncode == 2


# ---- Several steps

ORDERS = "select * from (values (1, 10, 5.5), (2, 20, 7.0), (3, 10, 1.5)) v(id, customer, amount)"
CUSTOMERS = "select * from (values (10, 'Ada'), (20, 'Bo')) v(id, name)"


def shop(project, **more) -> None:
    project.run([project.sql(ORDERS, "orders"), project.sql(CUSTOMERS, "customers"), project.sql("select 1 as a", "other-one"), *more.get("steps", [])])


def test_several_steps_are_read_at_once_each_as_a_schema(project):
    shop(project)
    query = lambda *arguments: project.osiris("query", "latest", *arguments, "--format", "csv")  # noqa: E731
    joined = query("select name, sum(amount) as total from orders.main o join customers.main c on o.customer = c.id group by all order by all")
    assert joined.stdout == "name,total\nAda,7.0\nBo,7.0\n", joined
    # The table `main` by the step's name alone, in any case, and names that are no plain words.
    assert query("select count(*) as n from Orders, CUSTOMERS").stdout == "n\n6\n"
    assert query('select a + 1 as b from "other-one".main, "other-one"').stdout == "b\n2\n" or "ambiguous" in query('select a + 1 as b from "other-one".main, "other-one"').stderr.lower()
    project.write("q.sql", "select max(id) as m from orders")
    assert query("-f", "q.sql").stdout == "m\n3\n"
    piped = subprocess.run([OSIRIS, "query", "latest", "-", "--format", "csv"], cwd=project.folder, input="select min(id) as m\nfrom customers", capture_output=True, text=True)
    assert piped.stdout == "m\n10\n", piped
    # One step by itself, as before.
    assert query("orders", "select count(*) as n from main").stdout == "n\n3\n"
    assert project.osiris("query", "latest", "orders").stdout.rstrip().endswith("3 rows")
    for arguments, words in [
        (("select 1 as a",), ["names no step", "`orders`"]),
        (("select * from orders join nix using (id)",), ["nix", "orders.main"]),
        (("select * from orders.nix",), ["nix", "orders.main"]),
        (("ordrs",), ["did you mean `orders`"]),
        ((), ["nothing says what to read", "`orders`"]),
        (("select * from orders; drop table orders",), ["not a SELECT"]),
        (("select * from orders.main, duckdb_databases()",), ["duckdb_databases"]),
        (("select * from osiris_input_x.main.main where 'orders' = ''",), ["osiris_"]),
    ]:
        done = query(*arguments)
        assert done.returncode == 2 and all(word in done.stderr for word in words), done.stderr


def test_steps_that_cannot_be_schemas_are_refused_by_name_and_read_alone(project):
    project.run([project.sql("select 1 as a", "temp"), project.sql("select 2 as a", "main"), project.sql("select 3 as a", "b")])
    done = project.osiris("query", "latest", "select * from temp.main")
    assert done.returncode == 2 and "step `temp`" in done.stderr and "by itself" in done.stderr, done.stderr
    assert project.osiris("query", "latest", "temp", "select a from temp", "--format", "csv").stdout == "a\n1\n"
    assert project.osiris("query", "latest", "select main.a + b.a as s from main, b", "--format", "csv").stdout == "s\n5\n"


# ---- Files for programs

TYPES = """select 1::utinyint as u, 'ü, "q"' as t, 1.50::decimal(9,2) as d, date '2024-02-29' as day, timestamptz '2024-01-01 00:00:00.000001+00' as at, [1, null] as l,
    {'a': 1, 'b': 'x'} as s, map {'k': 2} as m, '\\x00\\xFF'::blob as b, '00000000-0000-0000-0000-000000000001'::uuid as id, 'nan'::double as f, true as y, null::integer as n, '{"a": 1}'::json as j"""


@pytest.mark.parametrize("rows", ["", " where false", " from range(5000)"])
def test_rows_are_written_as_parquet_and_arrow_without_a_change(project, rows):
    select = TYPES + rows
    project.run([project.sql(select, "source")])
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        expected = connection.execute(select)
        names, count = [column[0] for column in expected.description], len(expected.fetchall())
        text = lambda relation: connection.execute(f"select columns(*)::varchar from {relation} limit 1").fetchall()  # noqa: E731
        wanted = text(f"({select})")
        done = project.osiris("query", "latest", "source", "from main", "-o", "rows.parquet")
        assert done.returncode == 0 and done.stdout == "", done
        path = project.folder / "rows.parquet"
        assert oct(path.stat().st_mode & 0o777) == oct(0o666 & ~current_umask())
        assert connection.execute(f"select count(*) from '{path}'").fetchone() == (count,)
        assert [row[0] for row in connection.execute(f"describe from '{path}'").fetchall()] == names
        assert text(f"'{path}'") == wanted
        for format, read in [(["-o", "rows.arrow"], pyarrow.ipc.open_file), ([], pyarrow.ipc.open_stream)]:
            done = subprocess.run([OSIRIS, "query", "latest", "from source", "--format", "arrow", *format], cwd=project.folder, capture_output=True)
            assert done.returncode == 0, done.stderr
            bytes = (project.folder / "rows.arrow").read_bytes() if format else done.stdout
            table = read(pyarrow.BufferReader(bytes)).read_all()
            assert table.num_rows == count and table.column_names == names
            connection.register("arrow_rows", table)
            assert text("arrow_rows") == wanted


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_parquet_goes_through_a_pipe_and_never_to_a_terminal(project):
    project.run([project.sql("select 1 as a, 2::hugeint as h", "source")])
    done = subprocess.run([OSIRIS, "query", "latest", "source", "select a from main", "--format", "parquet"], cwd=project.folder, capture_output=True)
    (project.folder / "piped.parquet").write_bytes(done.stdout)
    assert duckdb.sql(f"from '{project.folder / 'piped.parquet'}'").fetchall() == [(1,)], done.stderr
    for format in ("parquet", "arrow"):
        with pytest.raises(AssertionError) as refused:
            on_terminal(project, 80, "latest", "source", "--format", format)
        assert "-o FILE" in str(refused.value)
    for arguments, words in [
        (("from main", "-o", "x.parquet"), ["`h`", "HUGEINT", "cast"]),
        (("select 1 as a, 2 as A", "-o", "x.parquet"), ["two columns", "`A`"]),
        (("select nix from main", "-o", "x.parquet"), ["nix", "LINE 1"]),
        (("select error('no')", "-o", "x.arrow"), ["no"]),
        (("from main", "-o", "."), ["regular file"]),
        (("from main", "-o", "none/x.csv"), ["cannot write"]),
    ]:
        done = project.osiris("query", "latest", "source", *arguments)
        assert done.returncode in (1, 2) and all(word in done.stderr for word in words), done.stderr
    assert not list(project.folder.glob("x.*")) and not list(project.folder.glob(".osiris-*"))
    # A file that exists is replaced as a whole, or stays.
    (project.folder / "kept.csv").write_text("old")
    assert project.osiris("query", "latest", "source", "select nix from main", "-o", "kept.csv").returncode != 0
    assert (project.folder / "kept.csv").read_text() == "old"
    assert project.osiris("query", "latest", "source", "select a from main", "-o", "kept.csv").returncode == 0
    assert (project.folder / "kept.csv").read_text() == "a\n1\n"
