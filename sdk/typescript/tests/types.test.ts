/** Every type of column, from JavaScript values to the contract's buffers and back. */

import assert from "node:assert/strict";
import test from "node:test";
import { Batch, t, type Declared } from "@osiris/sdk";
import { decode } from "../src/decode.js";
import { columnsOf, resolve, same, type Type } from "../src/types.js";
import { decodeUtf8, encodeUtf8, base64 } from "../src/utf8.js";

const CASES: Record<string, [Type, unknown[]]> = {
  boolean: [t.bool, [true, false, null]],
  int8: [t.int8, [-128, 127, null]],
  int16: [t.int16, [-(2 ** 15), 2 ** 15 - 1, null]],
  int32: [t.int32, [-(2 ** 31), 2 ** 31 - 1, null]],
  int64: [t.int, [-(2n ** 63n), 2n ** 63n - 1n, 2 ** 53 - 1, 0, null]],
  "halves of int64": [
    t.int,
    [-1, 2 ** 31, 2 ** 32, 2 ** 32 - 1, -(2 ** 32), -(2 ** 32) - 1, 1 - 2 ** 53, 2n ** 53n, -(2n ** 53n), null],
  ],
  "halves of uint64": [t.uint64, [1, 2 ** 32, 2 ** 53 - 1, 2n ** 53n, null]],
  uint8: [t.uint8, [0, 255, null]],
  uint16: [t.uint16, [0, 2 ** 16 - 1, null]],
  uint32: [t.uint32, [0, 2 ** 32 - 1, null]],
  uint64: [t.uint64, [0, 2n ** 64n - 1n, null]],
  hugeint: [t.hugeint, [-(2n ** 127n), 2n ** 127n - 1n, 5, null]],
  uhugeint: [t.uhugeint, [0, 2n ** 128n - 1n, null]],
  bignum: [t.bignum, [0, 1, -1, 10n ** 80n, -(10n ** 80n), null]],
  float32: [t.float32, [1.5, -0, Infinity, null]],
  float64: [t.float, [0.1, 1e308, -Infinity, NaN, null]],
  decimal: [t.decimal(38, 10), ["-1234567890123456789012345678.0123456789", "0.0000000000", null]],
  "whole decimal": [t.decimal(5, 0), ["99999", null]],
  text: [t.string, ["", "naïve ☃ 😀", "a\0b", null]],
  ascii: [t.string, ["a", "bc", "", null]],
  bytes: [t.bytes, [new Uint8Array(), Uint8Array.of(0, 255), null]],
  bit: [t.bit, ["1", "01010101", "101010101", null]],
  uuid: [t.uuid, ["00112233-4455-6677-8899-aabbccddeeff", null]],
  json: [t.json, ['{"a": 1.50}', "null", null]],
  date: [
    t.date,
    ["0001-01-01", "9999-12-31", "1969-12-31", "-000044-03-15", "+012345-01-01", "infinity", "-infinity", null],
  ],
  time: [t.time, ["00:00:00", "23:59:59.999999", "24:00:00", null]],
  timeNs: [t.timeNs, ["01:02:03.000000004", null]],
  timeTz: [t.timeTz, ["01:02:03.000004+02:30", "23:00:00-15:59:59", "00:00:00+00:00", null]],
  timestamp: [t.timestamp, ["0001-01-01T00:00:00", "1969-12-31T23:59:59.999999", "infinity", "-infinity", null]],
  timestampS: [t.timestampS, ["1969-12-31T23:59:59", null]],
  timestampMs: [t.timestampMs, ["2024-01-01T00:00:00.123", null]],
  timestampNs: [t.timestampNs, ["2024-01-01T00:00:00.123456789", null]],
  instant: [t.instant, ["2024-01-31T10:00:00.000001Z", null]],
  interval: [t.interval, [{ months: -1, days: 2, nanoseconds: 3000 }, null]],
  list: [t.list(t.int), [[1, null, 3], [], null]],
  "nested list": [t.list(t.list(t.string)), [[["a"], null, []], null, [[null]]]],
  array: [t.array(t.float, 2), [[1, null], null, [3, 4]]],
  struct: [t.struct({ a: t.int, b: t.list(t.string) }), [{ a: 1, b: ["x"] }, { a: null, b: null }, null]],
  "list of structs": [t.list(t.struct({ a: t.int })), [[], null, [{ a: 1 }, null]]],
  map: [
    t.map(t.string, t.int),
    [
      new Map<string, number | null>([
        ["k", 1],
        ["l", null],
      ]),
      new Map(),
      null,
    ],
  ],
  union: [
    t.union({ number: t.int, text: t.string }),
    [
      { tag: "number", value: 1 },
      { tag: "text", value: "a" },
    ],
  ],
};

function passed(type: Declared, values: unknown[]): Batch {
  const batch = Batch.of({ x: values }, { x: type });
  return Batch.received(columnsOf(batch.contractSchema().fields), batch.contractBatch());
}

for (const [name, [type, values]] of Object.entries(CASES)) {
  test(`values of the type ${name} survive both ways`, () => {
    for (const given of [
      values,
      [],
      values.filter((value) => value !== null),
      Array.from({ length: 500 }, () => values).flat(),
    ]) {
      const received = passed(type, given);
      assert.deepEqual(received.get("x"), given);
      assert.ok(same(received.types.get("x")!, type));
      assert.equal(received.types.get("x")!.duckdb, type.duckdb);
    }
    if (name !== "union") assert.deepEqual(passed(type, [null, null, null]).get("x"), [null, null, null]);
    assert.ok(same(resolve(type.duckdb), type), type.duckdb);
  });
}

test("every type is tested", () => {
  const tested = new Set(Object.values(CASES).map(([type]) => type.duckdb));
  for (const type of Object.values(t)) if (typeof type === "object") assert.ok(tested.has(type.duckdb), type.duckdb);
  assert.equal(resolve("GEOMETRY").format, "");
});

test("buffers are those of Arrow, from any alignment", () => {
  const batch = Batch.of(
    { n: [1, null, 3], s: ["a", null, "ü"], l: [[1], null, [2, 3]] },
    { n: t.int32, s: t.string, l: t.list(t.int8) },
  );
  const nodes = batch.contractBatch().nodes.map((node) => node.buffers.map((buffer) => [...buffer]));
  assert.deepEqual(nodes, [
    [[5], [1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]],
    [[5], [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0], [97, 195, 188]],
    [[5], [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0]],
    [[], [1, 2, 3]],
  ]);
  assert.deepEqual(
    batch.contractSchema().fields.map((field) => [field.name, field.format, field.children]),
    [
      ["n", "i", 0],
      ["s", "u", 0],
      ["l", "+l", 1],
      ["l", "c", 0],
    ],
  );
  const shifted = new Uint8Array(9);
  shifted.set([1, 0, 0, 0, 2, 0, 0, 0], 1);
  assert.deepEqual(decode(t.int32, [{ length: 2, buffers: [new Uint8Array(), shifted.subarray(1)] }], "x"), [1, 2]);
});

test("values that do not fit name their column and row", () => {
  const cases: [Type, unknown, RegExp][] = [
    [t.int8, 128, /TINYINT \(it is out of range\)/],
    [t.uint64, -1, /UBIGINT/],
    [t.int, "1", /type string/],
    [t.int, 1.5, /not an integer/],
    [t.int, 2 ** 53, /use a bigint/],
    [t.hugeint, 2n ** 127n, /HUGEINT/],
    [t.float32, 1e300, /too large/],
    [t.bool, 1, /type number/],
    [t.string, 1, /type number/],
    [t.bytes, "a", /type string/],
    [t.decimal(5, 2), "1.005", /more than 2 digits behind the point/],
    [t.decimal(5, 2), 1000, /more than 5 digits/],
    [t.decimal(5, 2), "x", /finite number/],
    [t.decimal(5, 2), NaN, /finite/],
    [t.date, "2024-02-30", /not a day/],
    [t.timestamp, "2024-01-01T00:00:00Z", /has a zone/],
    [t.instant, "2024-01-01T00:00:00", /no zone/],
    [t.timestampS, "2024-01-01T00:00:00.1", /finer/],
    [t.time, "25:00:00", /not a time/],
    [t.timeTz, "10:00:00", /no zone/],
    [t.uuid, "x", /UUID/],
    [t.json, "{", /JSON/],
    [t.bit, "2", /0 and 1/],
    [t.list(t.int), "ab", /type string/],
    [t.list(t.int), [1, "x"], /column `x`\.l, row 1/],
    [t.array(t.int, 2), [1], /its length is 1, not 2/],
    [t.struct({ a: t.int }), { b: 1 }, /has `b`/],
    [t.union({ a: t.int }), 1, /tag/],
  ];
  for (const [type, value, reason] of cases) {
    assert.throws(
      () => Batch.of({ x: [null, value] }, { x: type }),
      (error: Error & { kind?: string }) => {
        assert.equal(error.kind, "data");
        assert.match(error.message, reason);
        assert.match(error.message, /column `x`.*row 1/);
        return true;
      },
      `${type.duckdb} ${String(value)}`,
    );
  }
});

test("other values of a type are written", () => {
  assert.deepEqual(passed(t.decimal(10, 2), [1.5, 2n, "1e2", "-.5", "2.500"]).get("x"), [
    "1.50",
    "2.00",
    "100.00",
    "-0.50",
    "2.50",
  ]);
  assert.deepEqual(passed(t.instant, [new Date(1), "2024-01-31 12:30:00+02:30", "2024-01-31T10:00:00-01"]).get("x"), [
    "1970-01-01T00:00:00.001000Z",
    "2024-01-31T10:00:00Z",
    "2024-01-31T11:00:00Z",
  ]);
  assert.deepEqual(passed(t.map(t.string, t.int), [{ a: 1 }]).get("x"), [new Map([["a", 1]])]);
  assert.deepEqual(Batch.of({ x: BigInt64Array.of(1n, 2n) }, { x: t.int }).get("x"), [1, 2]);
});

test("numbers are typed arrays", () => {
  const { values, nulls } = passed(t.int32, [1, null, 3]).numbers("x");
  assert.ok(values instanceof Int32Array && values[2] === 3);
  assert.deepEqual(nulls, [1]);
  assert.throws(() => passed(t.string, ["a"]).numbers("x"), /not a number of fixed width/);
});

test("UTF-8 is exact without the engine's encoder", () => {
  for (const text of ["", "a", "ü☃😀\0", "x".repeat(20_000) + "é", "\uffff\u{10ffff}"]) {
    assert.deepEqual(encodeUtf8(text), new TextEncoder().encode(text));
    assert.equal(decodeUtf8(encodeUtf8(text)), text);
  }
  assert.deepEqual(encodeUtf8("a\ud800b\udc00"), new TextEncoder().encode("a\ud800b\udc00"));
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]])
    assert.throws(() => decodeUtf8(Uint8Array.from(bytes)), URIError);
  for (const text of ["", "a", "ab", "abc", "☃"])
    assert.equal(base64(encodeUtf8(text)), Buffer.from(text).toString("base64"));
});
