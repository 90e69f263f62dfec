"""Computes columns from the values of others."""

import datetime

import osiris_sdk as osiris

DAY = datetime.timedelta(days=1)


@osiris.processor
def transform(config, inputs, output):
    for batch in inputs.only().batches():

        def add(name, kind, source, compute):
            batch.set(name, [value if value is None else compute(value) for value in batch[source]], kind)

        add("double_qty", int, "qty", lambda qty: 2 * qty)
        add("shout", str, "name", lambda name: name + "!")
        add("owed", osiris.decimal(18, 2), "price", lambda price: -price)
        add("not_flag", bool, "flag", lambda flag: not flag)
        add("half", float, "ratio", lambda ratio: ratio / 2)
        add("next_day", datetime.date, "day", lambda day: day + DAY)
        add("same_at", osiris.instant, "at", lambda at: at)
        add("same_key", osiris.uuid, "key", lambda key: key)
        add("tag_count", int, "tags", len)
        add("loud_tags", list[str], "tags", lambda tags: [tag if tag is None else tag + "!" for tag in tags])
        add("part_a", int, "part", lambda part: part["a"])
        output.append("main", batch)
