"""Adds c = a + b + the length of s."""

import osiris_sdk as osiris


@osiris.processor
def transform(config, inputs, output):
    {"columns": columns, "records": records, "built": built}[config.mode](inputs.only(), output)


def columns(source, output):
    for batch in source.batches():
        batch.set("c", [a + b + len(s) for a, b, s in zip(batch["a"], batch["b"], batch["s"])], int)
        output.append("main", batch)


def computed(source):
    for row in source.rows():
        row["c"] = row["a"] + row["b"] + len(row["s"])
        yield row


def records(source, output):
    output.write("main", computed(source))


def built(source, output):
    names = ("a", "b", "s", "c")
    values = {name: [] for name in names}
    for row in computed(source):
        for name in names:
            values[name].append(row[name])
        if len(values["a"]) == 2048:
            output.append("main", osiris.Batch.of(values, a=int, b=int, s=str, c=int))
            values = {name: [] for name in names}
    if values["a"]:
        output.append("main", osiris.Batch.of(values, a=int, b=int, s=str, c=int))
