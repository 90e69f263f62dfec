/** Writes the answers of an API in three ways. */

import { Batch, extractor, metric, t } from "@osiris/sdk";

const types = { id: t.int, name: t.string, amount: t.decimal(18, 2), tags: t.list(t.string), created_at: t.instant };

const record = (i: number) => ({
  id: i,
  name: `customer ${i}`,
  amount: `${i}.25`,
  tags: ["a", "b"],
  created_at: "2024-01-31T10:00:00.000001+02:00",
});

function columnsOf(rows: Record<string, unknown>[]): Batch {
  const columns: Record<string, unknown[]> = { id: [], name: [], amount: [], tags: [], created_at: [] };
  for (const row of rows) for (const name in columns) columns[name]!.push(row[name]);
  return Batch.of(columns, types);
}

export const extract = extractor<{ mode: string; records: number }>((config, output) => {
  const pages = Array.from({ length: config.records / 1000 }, (_, page) =>
    JSON.stringify(Array.from({ length: 1000 }, (_, at) => record(1000 * page + at))),
  );
  const begun = Date.now();
  const table = config.mode === "columns" ? undefined : output.table("main", types);
  for (const page of pages) {
    if (config.mode === "text") table!.writeJson(page);
    else if (config.mode === "rows") table!.write(JSON.parse(page));
    else output.append("main", columnsOf(JSON.parse(page)));
  }
  output.finish();
  metric("written_ms", Date.now() - begun);
});
