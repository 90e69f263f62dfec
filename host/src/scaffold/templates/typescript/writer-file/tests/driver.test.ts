import assert from "node:assert/strict";
import test from "node:test";
import { t } from "@osiris/sdk";
import { run } from "@osiris/sdk/testing";
import { load } from "../driver.ts";

async function write(...products: (string | null)[]): Promise<string> {
  const orders = { rows: products.map((product) => ({ product })), types: { product: t.string } };
  const result = await run(load, { config: { path: "a.txt", column: "product" }, inputs: { orders } });
  return new TextDecoder().decode(result.written["a.txt"]);
}

test("each row is a line", async () => {
  assert.equal(await write("tea", "žito", ""), "tea\nžito\n\n");
});

test("what is not one line is an error", async () => {
  for (const wrong of [null, "a\nb"]) await assert.rejects(write("tea", wrong), /row 2 /);
});
