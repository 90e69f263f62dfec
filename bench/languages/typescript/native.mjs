/** What the driver does, natively: `native.mjs columns FOLDER` from Arrow's buffers, `native.mjs records IN OUT` from JSON lines.
 * Prints milliseconds. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

function columns(folder) {
  const read = (name) => readFileSync(join(folder, name));
  const typed = (kind, bytes) => new kind(bytes.buffer, bytes.byteOffset, bytes.length / kind.BYTES_PER_ELEMENT);
  const [a, b, o] = [typed(BigInt64Array, read("a.bin")), typed(BigInt64Array, read("b.bin")), typed(Int32Array, read("o.bin"))];
  const text = read("s.bin");
  const c = new BigInt64Array(a.length);
  for (let at = 0; at < c.length; at++)
    c[at] = BigInt(Number(a[at]) + Number(b[at]) + text.toString("utf8", o[at], o[at + 1]).length);
  writeFileSync(join(folder, "c.bin"), c);
}

function records(source, target) {
  const lines = readFileSync(source, "utf8").split("\n").filter(Boolean);
  const out = lines.map((line) => {
    const row = JSON.parse(line);
    row.c = row.a + row.b + row.s.length;
    return JSON.stringify(row);
  });
  writeFileSync(target, out.join("\n"));
}

const begun = performance.now();
({ columns, records })[process.argv[2]](...process.argv.slice(3));
console.log((performance.now() - begun).toFixed(1));
