"""`osiris query`: where its SELECT comes from, and how its rows are shown."""

import fcntl
import os
import pty
import struct
import subprocess
import termios

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
