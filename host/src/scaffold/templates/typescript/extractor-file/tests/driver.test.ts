import assert from "node:assert/strict";
import test from "node:test";
import { run } from "@osiris/sdk/testing";
import { extract } from "../driver.ts";

const read = (text: string) =>
  run(extract, { config: { path: "a.log" }, files: { "a.log": new TextEncoder().encode(text) } });

test("each line is a row, and empty lines are skipped", async () => {
  const rows = (await read("2026-01-31T10:00:00Z WARN disk is full\n\n2026-01-31T10:00:01Z INFO žluť")).rows();
  assert.deepEqual(
    rows.map((row) => [row.level, row.message]),
    [
      ["WARN", "disk is full"],
      ["INFO", "žluť"],
    ],
  );
});

test("a line of another form is an error", async () => {
  await assert.rejects(read("2026-01-31T10:00:00Z INFO ready\noops"), /line 2 /);
});
