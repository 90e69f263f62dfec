/** Adds c = a + b + the length of s. */

import { Batch, processor, t, type Input, type Output } from "@osiris/sdk";

type Row = { a: number; b: number; s: string; c: number };

function columns(source: Input, output: Output): void {
  for (const batch of source.batches()) {
    const [a, b, s] = [batch.get<number>("a"), batch.get<number>("b"), batch.get<string>("s")];
    const c = new Array<number>(batch.length);
    for (let at = 0; at < c.length; at++) c[at] = a[at]! + b[at]! + s[at]!.length;
    batch.set("c", t.int, c);
    output.append("main", batch);
  }
}

function* computed(source: Input): Generator<Row> {
  for (const row of source.rows() as Generator<any>) {
    row.c = row.a + row.b + row.s.length;
    yield row;
  }
}

function built(source: Input, output: Output): void {
  const types = { a: t.int, b: t.int, s: t.string, c: t.int };
  let values: Record<keyof Row, unknown[]> = { a: [], b: [], s: [], c: [] };
  for (const row of computed(source)) {
    for (const name of ["a", "b", "s", "c"] as const) values[name].push(row[name]);
    if (values.a.length < 2048) continue;
    output.append("main", Batch.of(values, types));
    values = { a: [], b: [], s: [], c: [] };
  }
  if (values.a.length) output.append("main", Batch.of(values, types));
}

export const transform = processor<{ mode: string }>((config, inputs, output) => {
  const source = inputs.only();
  if (config.mode === "columns") columns(source, output);
  else if (config.mode === "records") output.write("main", computed(source));
  else built(source, output);
});
