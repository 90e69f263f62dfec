import assert from "node:assert/strict";
import test from "node:test";
import { run } from "@osiris/sdk/testing";
import { extract } from "../driver.ts";

test("each name is greeted", async () => {
  const result = await run(extract, { config: { names: ["Ada", "Žofie"] } });
  assert.deepEqual(result.rows(), [
    { id: 1, greeting: "hello Ada" },
    { id: 2, greeting: "hello Žofie" },
  ]);
});

test("no names make an empty table", async () => {
  assert.deepEqual((await run(extract, { config: { names: [] } })).rows(), []);
});
