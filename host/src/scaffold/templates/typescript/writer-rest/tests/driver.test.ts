import assert from "node:assert/strict";
import test from "node:test";
import { OsirisError, t } from "@osiris/sdk";
import { run, type Exchange } from "@osiris/sdk/testing";
import { load } from "../driver.ts";

const url = "https://api.example.com";
const rows = [
  { product: "tea", quantity: 2 },
  { product: null, quantity: 1 },
];
const send = (http: Exchange[]) =>
  run(load, {
    config: { connection: { url } },
    inputs: { orders: { rows, types: { product: t.string, quantity: t.int } } },
    http,
  });

test("each row is sent", async () => {
  const result = await send(
    rows.map((row) => ({ url: `${url}/orders`, method: "POST", status: 201, requestJson: row })),
  );
  assert.equal(result.requests.length, 2);
});

test("a refused row is an error", async () => {
  const refused = send([{ url: `${url}/orders`, method: "POST", status: 422 }]);
  await assert.rejects(refused, (error) => error instanceof OsirisError && error.kind === "config");
});
