import assert from "node:assert/strict";
import test from "node:test";
import { OsirisError } from "@osiris/sdk";
import { run } from "@osiris/sdk/testing";
import { extract } from "../driver.ts";

const url = "https://api.example.com";
const config = { connection: { url }, page_size: 2 };
const order = (id: number) => ({ id, customer: null, amount: "12.50", created_at: "2026-01-31T10:00:00Z" });

test("all pages are read", async () => {
  const result = await run(extract, {
    config,
    secrets: { "/connection/token": "hunter2" },
    http: [
      { url: `${url}/orders?size=2`, json: { items: [order(1), order(2)], next: 2 } },
      { url: `${url}/orders?size=2&page=2`, json: { items: [order(3)], next: null } },
    ],
  });
  assert.deepEqual(
    result.rows().map((row) => row.id),
    [1, 2, 3],
  );
  assert.equal(result.requests[0]?.headers.authorization, "Bearer hunter2");
});

test("a refused token is an error", async () => {
  const refused = run(extract, { config, http: [{ url: `${url}/orders?size=2`, status: 401 }] });
  await assert.rejects(refused, (error) => error instanceof OsirisError && error.kind === "auth");
});
