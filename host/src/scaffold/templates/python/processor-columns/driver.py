"""Adds totals and labels; other columns pass through unchanged."""

import osiris_sdk as osiris


@osiris.processor
def transform(config, inputs, output):
    for batch in inputs.only().batches():
        pairs = zip(batch["quantity"], batch["cents"])
        totals = [None if quantity is None or cents is None else quantity * cents for quantity, cents in pairs]
        batch.set("total_cents", totals, int)
        batch.set("label", [product and product.upper() for product in batch["product"]], str)
        output.append("main", batch)
