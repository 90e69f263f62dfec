"""What the driver does, natively: `native.py columns FOLDER` from Arrow's buffers, `native.py records IN OUT` from JSON lines.
Prints milliseconds."""

import json
import sys
import time
from array import array
from pathlib import Path


def columns(folder):
    read = lambda name: Path(folder, name).read_bytes()
    a, b, offsets, text = array("q", read("a.bin")), array("q", read("b.bin")), array("i", read("o.bin")), read("s.bin")
    texts = [text[start:end].decode() for start, end in zip(offsets, offsets[1:])]
    Path(folder, "c.bin").write_bytes(array("q", [x + y + len(s) for x, y, s in zip(a, b, texts)]).tobytes())


def records(source, target):
    with open(source) as lines, open(target, "w") as out:
        for line in lines:
            row = json.loads(line)
            row["c"] = row["a"] + row["b"] + len(row["s"])
            out.write(json.dumps(row) + "\n")


begun = time.perf_counter()
{"columns": columns, "records": records}[sys.argv[1]](*sys.argv[2:])
print(round((time.perf_counter() - begun) * 1000, 1))
