"""Doubles quantities, and adds names in upper case and numbers of tags; other columns pass through unchanged."""

import osiris_sdk as osiris


@osiris.processor
def transform(config, inputs, output):
    for batch in inputs.only().batches():
        batch["qty"] = [qty if qty is None else qty * 2 for qty in batch["qty"]]
        batch.set("upper", [name and name.upper() for name in batch["name"]], str)
        batch.set("tag_count", [tags if tags is None else len(tags) for tags in batch["tags"]], int)
        output.append("main", batch)
