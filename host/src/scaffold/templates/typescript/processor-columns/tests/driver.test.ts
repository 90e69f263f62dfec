import assert from "node:assert/strict";
import test from "node:test";
import { t } from "@osiris/sdk";
import { run } from "@osiris/sdk/testing";
import { transform } from "../driver.ts";

test("totals and labels are added", async () => {
  const rows = [
    { product: "žito", quantity: 2, cents: 450, other: true },
    { product: null, quantity: 1, cents: null, other: null },
    { product: "gold", quantity: 3_000_000_000, cents: 3_000_000_000, other: null },
  ];
  const types = { product: t.string, quantity: t.int, cents: t.int, other: t.bool };
  const result = await run(transform, { inputs: { orders: { rows, types } } });
  assert.deepEqual(
    result.rows().map((row) => [row.total_cents, row.label, row.other]),
    [
      [900, "ŽITO", true],
      [null, null, null],
      [9_000_000_000_000_000_000n, "GOLD", null],
    ],
  );
});
