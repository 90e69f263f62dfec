import assert from "node:assert/strict";
import test from "node:test";
import { run } from "@osiris/sdk/testing";
import { extract } from "../driver.ts";

// The host in memory has no TCP: the protocol is tested with a server, by `osiris drivers dev`.
test("a driver without a server fails with the reason", async () => {
  const config = { connection: { host: "store", port: 7000 }, prefix: "" };
  await assert.rejects(run(extract, { config }), /TCP/);
});
