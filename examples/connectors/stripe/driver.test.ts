/** Runs the driver natively, with recorded exchanges. */

import assert from "node:assert/strict";
import test from "node:test";
import { run, type Exchange } from "@osiris/sdk/testing";
import { check, extract } from "./driver.js";

const CONFIG = { object: "refunds", incremental: true, page_size: 2 };

const refund = (id: string, created: number) => ({
  id, object: "refund", created, amount: 1099, currency: "usd", status: "succeeded", metadata: { order: "7" },
});

const listed = (query: string, has_more: boolean, ...data: object[]): Exchange => ({
  url: `https://api.stripe.com/v1/refunds?limit=2${query}`,
  json: { object: "list", has_more, data },
});

test("all pages are read, and the newest objects are remembered", async () => {
  const result = await run(extract, {
    config: CONFIG,
    http: [
      listed("", true, refund("re_4", 1706695203), refund("re_3", 1706695203)),
      listed("&starting_after=re_3", false, refund("re_1", 1706695201)),
    ],
  });
  const rows = result.rows();
  assert.deepEqual(rows.map(({ id }) => id), ["re_4", "re_3", "re_1"]);
  assert.equal(rows[0]!.created, "2024-01-31T10:00:03.000Z");
  assert.equal(result.types().amount, "BIGINT");
  assert.deepEqual(result.state, { created: 1706695203, ids: ["re_4", "re_3"] });
});

test("the next run reads what was created since, and nothing twice", async () => {
  const state = { created: 1706695203, ids: ["re_4", "re_3"] };
  const since = "&created[gte]=1706695203";
  const some = await run(extract, {
    config: CONFIG,
    state,
    http: [
      listed(since, true, refund("re_5", 1706695203), refund("re_4", 1706695203)),
      listed(`${since}&starting_after=re_4`, false, refund("re_3", 1706695203)),
    ],
  });
  assert.deepEqual(some.rows().map(({ id }) => id), ["re_5"]);
  assert.deepEqual(some.state, { created: 1706695203, ids: ["re_4", "re_3", "re_5"] });
  const none = await run(extract, { config: CONFIG, state, http: [listed(since, false)] });
  assert.deepEqual([none.rows(), none.state], [[], state]);
});

test("an empty account has an empty table and no state", async () => {
  const result = await run(extract, { config: CONFIG, http: [listed("", false)] });
  assert.deepEqual([result.rows(), result.state], [[], undefined]);
});

test("a refused key is an error of the login", async () => {
  const refused = { ...listed("", false), status: 401, json: { error: { message: "Invalid API Key" } } };
  await assert.rejects(run(extract, { config: CONFIG, http: [refused] }), { kind: "auth", message: /Invalid API Key/ });
});

test("an account is checked by its mode", async () => {
  const balance = { url: "https://api.stripe.com/v1/balance", json: { object: "balance", livemode: false } };
  assert.equal((await run(check, { http: [balance] })).returned, "Stripe (test mode)");
});
