"""Writes the answers of an API in three ways."""

import json
import time

import osiris_sdk as osiris

TYPES = {"id": int, "name": str, "amount": osiris.decimal(18, 2), "tags": list[str], "created_at": osiris.instant}


def record(i):
    return {"id": i, "name": f"customer {i}", "amount": f"{i}.25", "tags": ["a", "b"], "created_at": "2024-01-31T10:00:00.000001+02:00"}


def columns_of(rows):
    columns = {name: [] for name in TYPES}
    for row in rows:
        for name in TYPES:
            columns[name].append(row[name])
    return osiris.Batch.of(columns, **TYPES)


@osiris.extractor
def extract(config, output):
    pages = [json.dumps([record(i) for i in range(first, first + 1000)]) for first in range(0, config.records, 1000)]
    begun = time.perf_counter()
    table = output.table("main", **TYPES) if config.mode != "columns" else None
    for page in pages:
        if config.mode == "text":
            table.write_json(page)
        elif config.mode == "rows":
            table.write(json.loads(page))
        else:
            output.append("main", columns_of(json.loads(page)))
    output.finish()
    osiris.metric("written_ms", (time.perf_counter() - begun) * 1000)
