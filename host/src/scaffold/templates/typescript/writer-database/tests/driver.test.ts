import assert from "node:assert/strict";
import test from "node:test";
import { t } from "@osiris/sdk";
import { run } from "@osiris/sdk/testing";
import { load } from "../driver.ts";

// The host in memory has no TCP: the protocol is tested with a server, by `osiris drivers dev`.
test("a driver without a server fails with the reason", async () => {
  const config = { connection: { host: "store", port: 7000 }, key: "key", value: "value" };
  const entries = { rows: [{ key: "a", value: "b" }], types: { key: t.string, value: t.string } };
  await assert.rejects(run(load, { config, inputs: { entries } }), /TCP/);
});
