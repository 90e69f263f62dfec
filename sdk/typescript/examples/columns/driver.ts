/** Doubles quantities, and adds names in upper case and numbers of tags; other columns pass through unchanged. */

import { processor, t } from "@osiris/sdk";

export const transform = processor((_config, inputs, output) => {
  for (const batch of inputs.only().batches()) {
    batch.replace(
      "qty",
      batch.get<number>("qty").map((qty) => (qty === null ? null : qty * 2)),
    );
    batch.set(
      "upper",
      t.string,
      batch.get<string>("name").map((name) => name && name.toUpperCase()),
    );
    batch.set(
      "tag_count",
      t.int,
      batch.get<unknown[]>("tags").map((tags) => tags && tags.length),
    );
    output.append("main", batch);
  }
});
