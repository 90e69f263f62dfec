import assert from "node:assert/strict";
import test from "node:test";
import { query } from "../driver.ts";

test("the column is quoted", () => {
  assert.equal(
    query('a "b"', '"orders"'),
    'select "a ""b""", count(*) as rows from "orders" group by all order by all',
  );
});
