/** Adds totals and labels; other columns pass through unchanged. */

import { processor, t } from "@osiris/sdk";

type Whole = number | bigint | null;

export const transform = processor((_config, inputs, output) => {
  for (const batch of inputs.only().batches()) {
    const cents = batch.get<Whole>("cents");
    const totals = batch.get<Whole>("quantity").map((quantity, row) => product(quantity, cents[row] ?? null));
    batch.set("total_cents", t.int, totals);
    batch.set(
      "label",
      t.string,
      batch.get<string>("product").map((name) => name && name.toUpperCase()),
    );
    output.append("main", batch);
  }
});

/** The exact product: numbers hold 53 bits, so larger ones are computed as BigInt. */
function product(a: Whole, b: Whole): Whole {
  if (a === null || b === null) return null;
  const quick = Number(a) * Number(b);
  return Number.isSafeInteger(quick) ? quick : BigInt(a) * BigInt(b);
}
