/** Drivers as a whole: rows, columns, errors, and what the step gives and takes. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import {
  attempt,
  Batch,
  checks,
  configError,
  dataError,
  discovers,
  ExactNumber,
  extractor,
  files,
  log,
  metric,
  notFoundError,
  partition,
  processor,
  progress,
  rateLimitedError,
  reject,
  secret,
  secretsBelow,
  sql,
  state,
  stepId,
  t,
  writer,
  type OsirisError,
} from "@osiris/sdk";
import { run, type TestInput } from "@osiris/sdk/testing";
import { refusalOf, toContract } from "../src/errors.js";
import { CHUNK, exactNumber, parse, recordsText, recordText } from "../src/json.js";
import { seedRandom } from "../src/random.js";
import * as columns from "../examples/columns/driver.js";
import * as hello from "../examples/hello/driver.js";
import * as rest from "../examples/rest/driver.js";

const kind = (expected: string, message: RegExp) => (error: OsirisError) => {
  assert.equal(error.kind, expected);
  assert.match(error.message, message);
  return true;
};

test("rows keep every value", async () => {
  const rows = [
    {
      id: 2n ** 63n,
      big: new ExactNumber("12345678901234567.890"),
      text: "ü ☃ \0",
      yes: true,
      list: [1, [null]],
      object: { a: {} },
      none: null,
    },
    { id: 1 },
  ];
  const result = await run(extractor((_config, output) => output.write("main", rows)));
  assert.deepEqual(result.rows()[0], {
    ...rows[0],
    id: new ExactNumber("9223372036854775808"),
    big: new ExactNumber("12345678901234567.890"),
  });
  assert.equal(result.rows()[1]!.text, null);
});

test("values that JSON lacks are written as DuckDB reads them", () => {
  assert.equal(
    recordText({ a: NaN, b: [Infinity, -Infinity, 1.5], c: 5n, d: undefined }, 0),
    '{"a":"NaN","b":["Infinity","-Infinity",1.5],"c":5}',
  );
  assert.equal(
    recordText({ d: new Date(0), m: new Map([["k", 1n]]), s: new Set([1]) }, 0),
    '{"d":"1970-01-01T00:00:00.000Z","m":{"k":1},"s":[1]}',
  );
  assert.equal(recordText({ b: Uint8Array.of(97, 92, 34, 0, 255) }, 0), String.raw`{"b":"a\\x5C\\x22\\x00\\xFF"}`);
  assert.equal(recordText(new Map([["a", 1]]), 0), '{"a":1}');
  assert.equal(recordText(JSON.parse('{"__proto__": [null]}'), 0), '{"__proto__":[null]}');
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  for (const [row, reason] of [
    [7, /row 3 is not an object, but 7/],
    [[1], /row 3 is not an object/],
    [{ d: new Date(NaN) }, /row 3, column `d`/],
    [circle, /column `self`: .*contains itself/],
  ] as const) {
    assert.throws(() => recordText(row, 3), kind("data", reason));
  }
});

test("rows are encoded together, and one by one if JSON lacks a value", () => {
  const exact = new ExactNumber("12345678901234567890");
  const nested = { a: 1, b: { c: [null, "x"] }, e: exact };
  assert.equal(recordsText([nested, {}], 0), '[{"a":1,"b":{"c":[null,"x"]},"e":12345678901234567890},{}]');
  for (const [value, text, isTogether] of [
    [NaN, '"NaN"', false],
    [[{ n: -Infinity }], '[{"n":"-Infinity"}]', false],
    [new Set([null]), "[null]", false],
    [[undefined], "[null]", true],
    [5n, "5", true],
    [new Map([["k", exact]]), '{"k":12345678901234567890}', true],
    [Uint8Array.of(1, 65), String.raw`"\\x01A"`, true],
    [new Date(0), '"1970-01-01T00:00:00.000Z"', true],
  ] as const)
    assert.equal(recordsText([{ a: 1 }, { a: value }], 0), isTogether ? `[{"a":1},{"a":${text}}]` : `{"a":1}\n{"a":${text}}`);
  assert.ok(!("toJSON" in Map.prototype || "toJSON" in BigInt.prototype), "the prototypes are as before");
  const large = "x".repeat(CHUNK);
  assert.equal(recordsText([{ large }, { large }], 0), `{"large":"${large}"}\n{"large":"${large}"}`);
  for (const row of [7, null, undefined, [1], new Date(0), new Set(), Uint8Array.of(1)])
    assert.throws(() => recordsText([{}, row], 3), kind("data", /row 4 is not an object, but/));
  assert.throws(() => recordsText([{}, { d: new Date(NaN) }], 3), kind("data", /row 4, column `d`/));
  assert.equal(JSON.stringify({ exact }), '{"exact":"12345678901234567890"}');
});

test("JSON keeps all digits", () => {
  for (const [source, exact] of [
    ["0.1", false],
    ["1e3", false],
    ["12345678901234567.89", true],
    ["9007199254740993", true],
    ["9007199254740992", true],
    ["9007199254740991", false],
    ["1000000000000000000000000", true],
    ["0.10000000000000001", true],
    ["1.0000000000000000", false],
    ["-0", false],
    ["1e400", true],
  ] as const) {
    assert.equal(exactNumber(source) instanceof ExactNumber, exact, source);
  }
  const text =
    '{"a": [9007199254740993, "9007199254740993\\"\\u00e9", true, null, {}], "__proto__": {"x": [ ]}, "n": -1.5e3}\n';
  const parsed = parse(text) as any;
  assert.equal(String(parsed.a[0]), "9007199254740993");
  assert.equal(parsed.a[0] * 2, 9007199254740992 * 2);
  assert.deepEqual(
    [parsed.a.slice(1), Object.keys(parsed), parsed.n],
    [['9007199254740993"é', true, null, {}], ["a", "__proto__", "n"], -1500],
  );
  assert.equal((parse(text, false) as any).a[0], 9007199254740992);
  for (const wrong of [
    "[1234567890123456,]",
    '{"a" 1234567890123456}',
    "1234567890123456 x",
    "01234567890123456",
    "[1234567890123456",
  ])
    assert.throws(() => parse(wrong), SyntaxError, wrong);
});

test("declared columns appear without rows, and values are checked", async () => {
  const declared = { id: t.int, amount: t.decimal(18, 2), extra: "GEOMETRY" };
  const empty = await run(extractor((_config, output) => void output.table("main", declared)));
  assert.deepEqual([empty.rows(), empty.types()], [[], { id: "BIGINT", amount: "DECIMAL(18,2)", extra: "GEOMETRY" }]);
  await assert.rejects(
    run(extractor((_config, output) => output.write("main", [{ amount: 1 }, { amount: "x" }], declared))),
    kind("data", /record 1, column `amount`: "x"/),
  );
});

test("no value is left out, and a driver's own toJSON stays", async () => {
  const own = function (this: bigint) {
    return "mine";
  };
  Object.defineProperty(BigInt.prototype, "toJSON", { value: own, configurable: true });
  try {
    for (const rows of [[{ id: 1, text: String }], [{ id: 1 }, { id: 2, text: () => "x" }], [{ id: 1, text: Symbol() }]]) {
      const wrong = run(extractor((_config, output) => output.write("main", rows)));
      await assert.rejects(wrong, kind("data", /row \d, column `text`: a function or a symbol is no value/));
    }
    const result = await run(extractor((_config, output) => output.write("main", [{ id: 2n ** 60n }, { id: 1n }])));
    assert.equal(String(result.rows()[0]!.id), "1152921504606846976");
    assert.equal((BigInt.prototype as { toJSON?: unknown }).toJSON, own);
  } finally {
    delete (BigInt.prototype as { toJSON?: unknown }).toJSON;
  }
});

test("rows are passed on in parts", async () => {
  let most = 0;
  function* rows() {
    for (let number = 0; number < 100_000; number++) yield { number, text: "x".repeat(20) };
  }
  const result = await run(
    extractor((_config, output) => {
      const raw = (output as any).raw;
      const create = raw.createJsonTable;
      raw.createJsonTable = (...given: unknown[]) => {
        const table = create(...given);
        const append = table.append;
        return { ...table, append: (text: string) => ((most = Math.max(most, text.length)), append(text)) };
      };
      output.write("main", rows());
    }),
  );
  assert.equal(result.rows().length, 100_000);
  assert.ok(most >= CHUNK && most < CHUNK * 1.1, String(most));
});

test("tables are written side by side and finished at the end", async () => {
  const result = await run(
    extractor((_config, output) => {
      const first = output.table("first");
      for (const id of [1, 2, 3]) {
        first.write({ id });
        output.write("second", [{ id }]);
      }
      first.finish();
      assert.throws(() => first.write({ id: 4 }), /`first` is finished/);
      assert.throws(() => output.table("second"), /created already/);
      assert.throws(() => output.append("second", Batch.of({ id: [1] }, { id: t.int })), /does not take batches/);
      output.append("third", Batch.of({ id: [1] }, { id: t.int }));
      assert.throws(() => output.write("third", [{ id: 1 }]), /takes batches, not rows/);
      assert.throws(
        () => output.append("third", Batch.of({ id: ["x"] }, { id: t.string })),
        /other columns than the first one: `id` VARCHAR, not `id` BIGINT/,
      );
      output.table("fourth").writeJson('{"id": 1}\n{"id": 2}');
    }),
  );
  assert.deepEqual(
    ["first", "second", "third", "fourth"].map((name) => result.rows(name).length),
    [3, 3, 1, 2],
  );
});

const SOURCE: TestInput = {
  rows: [
    { a: 1, b: "x", u: null },
    { a: null, b: null, u: 2 },
    { a: 3, b: "z", u: 3 },
  ],
  types: { a: t.int16, b: t.string, u: t.uint8 },
};

const columnDriver = processor((_config, inputs, output) => {
  for (const batch of inputs.only().batches()) {
    batch.replace(
      "a",
      batch.get<number>("a").map((value) => value && value * 2),
    );
    batch.set(
      "c",
      t.string,
      batch.get<string>("b").map((value) => value?.toUpperCase() ?? null),
    );
    batch.rename("b", "text");
    output.append("main", batch);
    output.append("one", batch.select("c"));
    output.append("last", batch.take(batch.length ? [batch.length - 1] : []));
    assert.throws(() => batch.get("x"), kind("not-found", /has no column `x`; it has `a`, `text`, `u`, `c`/));
    assert.throws(() => batch.replace("a", [1, 2, 3, 4]), kind("data", /has 4 values, but the batch has/));
  }
});

test("untouched columns pass, replaced ones keep their type, and an empty input keeps its columns", async () => {
  const result = await run(columnDriver, { inputs: { source: SOURCE }, batchSize: 2 });
  assert.deepEqual(result.rows(), [
    { a: 2, text: "x", u: null, c: "X" },
    { a: null, text: null, u: 2, c: null },
    { a: 6, text: "z", u: 3, c: "Z" },
  ]);
  assert.deepEqual(result.types(), { a: "SMALLINT", text: "VARCHAR", u: "UTINYINT", c: "VARCHAR" });
  assert.deepEqual([result.rows("one").length, result.rows("last").length], [3, 2]);
  const empty = await run(columnDriver, { inputs: { source: { ...SOURCE, rows: [] } } });
  assert.deepEqual([empty.rows(), empty.types()], [[], result.types()]);
  await assert.rejects(
    run(columnDriver, { inputs: { source: { ...SOURCE, rows: [{ a: 20_000 }] } } }),
    kind("data", /SMALLINT/),
  );
});

test("rows are read as JSON values", async () => {
  const seen: unknown[] = [];
  const driver = writer((_config, inputs) => {
    assert.deepEqual(
      inputs.map((one) => one.alias),
      ["a", "b"],
    );
    seen.push(
      ...inputs.named("a").rows("a", "b"),
      inputs.named("b").length,
      inputs[0]!.sqlName,
      inputs[0]!.types.get("a")!.duckdb,
    );
    assert.throws(() => [...inputs[0]!.rows("x")], kind("not-found", /no column `x`; it has a, b, u/));
    assert.throws(() => inputs.named("c"), kind("config", /no input `c`; it has `a`, `b`/));
    inputs.only();
  });
  await assert.rejects(
    run(driver, { inputs: { a: SOURCE, b: SOURCE } }),
    kind("config", /2 inputs \(`a`, `b`\), but this driver takes exactly one/),
  );
  assert.deepEqual(seen, [{ a: 1, b: "x" }, { a: null, b: null }, { a: 3, b: "z" }, 3, '"a"', "SMALLINT"]);
});

test("every kind of error crosses the contract and comes back", () => {
  const error = rateLimitedError("it broke \ud800", { code: "HTTP 429", retryAfterMs: 1500 });
  assert.deepEqual(toContract(error), {
    kind: "rate-limited",
    code: "HTTP 429",
    message: "it broke \ufffd",
    retryAfterMs: 1500,
  });
  assert.equal(toContract(configError("x", { retryAfterMs: 1e12 })).retryAfterMs, 2 ** 32 - 1);
  for (const thrown of [{ payload: toContract(error) }, toContract(error)])
    assert.equal(refusalOf(thrown)?.kind, "rate-limited");
  assert.equal(refusalOf({ kind: "data", code: null, message: "x", retryAfterMs: null })?.code, undefined);
  for (const thrown of [new Error("x"), null, "x", { message: "x" }]) assert.equal(refusalOf(thrown), undefined);
});

test("anything thrown becomes an error with type, text, file and line; resources are dropped in order", async () => {
  const driver = processor((_config, inputs, output) => {
    output.write("main", [{ a: 1 }]);
    output.append("columns", Batch.of({ a: [1] }, { a: t.int }));
    output.table("rows").writeJson("{}");
    for (const _ of inputs.only().rows()) {
      inputs.only().batches();
      throw new TypeError("boom");
    }
  });
  const dropped: string[] = [];
  await assert.rejects(
    run(driver, { inputs: { source: SOURCE } }).catch((error) => {
      throw error;
    }),
    kind("internal", /^TypeError: boom \(drivers\.test\.[a-z]+:\d+\)$/),
  );
  const kept = processor((_config, inputs, output) => {
    (output as any).raw[Symbol.dispose] = () => dropped.push("output");
    for (const raw of [inputs[0]!.raw as any]) raw[Symbol.dispose] = () => dropped.push("input");
    const reader = inputs[0]!.batches() as any;
    void reader;
    output.table("rows").writeJson("{}");
    throw dataError("x");
  });
  await assert.rejects(run(kept, { inputs: { source: SOURCE } }), kind("data", /^x$/));
  assert.deepEqual(dropped, ["input", "output"]);
  for (const thrown of ["text", { odd: 1 }])
    await assert.rejects(
      run(
        extractor(() => {
          throw thrown;
        }),
      ),
      kind("internal", /^Error: /),
    );
  const result = await run(checks(async () => "Server 1"));
  assert.equal(result.returned, "Server 1");
  await assert.rejects(
    run(
      checks(async () => {
        throw notFoundError("gone");
      }),
    ),
    kind("not-found", /gone/),
  );
});

test("random numbers depend on the seed of the run, and fill the interval evenly", () => {
  const before = Math.random;
  try {
    const drawn = [0, 1, 1].map((seed) => {
      seedRandom(new Uint8Array(16).fill(seed));
      return Array.from({ length: 10_000 }, () => Math.random());
    });
    assert.notEqual(drawn[0]![0], drawn[1]![0]);
    assert.deepEqual(drawn[1], drawn[2]);
    for (let tenth = 0; tenth < 10; tenth++) {
      const inside = drawn[0]!.filter((value) => value >= tenth / 10 && value < (tenth + 1) / 10).length;
      assert.ok(inside > 850 && inside < 1150, String(inside));
    }
    assert.equal(new Set(drawn[0]).size, 10_000);
  } finally {
    Math.random = before;
  }
});

test("discover completes what is left out", async () => {
  const result = await run(
    discovers(() => [{ name: "t", columns: [{ name: "id", sourceType: "int4", duckdbType: "INTEGER" }] }]),
  );
  assert.deepEqual(result.returned, [
    {
      name: "t",
      schema: undefined,
      primaryKey: [],
      estimatedRows: undefined,
      columns: [{ name: "id", sourceType: "int4", duckdbType: "INTEGER", nullable: true }],
    },
  ]);
});

test("secrets, state, log, metrics, progress, files and SQL", async () => {
  const driver = extractor<{ path: string }>((config, output) => {
    assert.deepEqual(
      [secret("/token"), secret("token"), secret("/nothing"), secret("connection.password")],
      ["t0ken", "t0ken", undefined, "pa55"],
    );
    assert.deepEqual(secretsBelow("/headers"), { "X-A/b": "h3ader" });
    assert.equal(state.get(), undefined);
    state.set({ until: 5 });
    assert.throws(() => state.set({ key: "t0ken" }), kind("denied", /contains a secret/));
    assert.throws(() => state.set(undefined), kind("data", /cannot be stored/));
    log.warn("careful \ud800", { page: 3 });
    metric("pages", 3);
    progress(1, 2);
    reject({ id: 2n ** 60n, price: NaN }, "no price");
    reject("a;b", "too few fields");
    assert.throws(() => reject({}, "empty"), kind("data", /rejected: empty/));
    assert.deepEqual([stepId(), partition(), attempt()], ["step", { index: 1, count: 4 }, 2]);
    assert.deepEqual(Buffer.concat([...files.open(config.path).parts()]).toString(), "hello");
    assert.throws(() => files.open("/etc/passwd"), kind("denied", /not granted/));
    files.create("out").write(Uint8Array.of(1, 2));
    assert.equal(sql.createTable(output, "made", "select"), 3);
    output.write("main", sql.rows("select"));
    for (const batch of sql.query("select")) output.append("columns", batch);
    assert.deepEqual([sql.literal("it's"), sql.identifier('a"b')], ["'it''s'", '"a""b"']);
  });
  const result = await run(driver, {
    config: { path: "in" },
    secrets: { "/token": "t0ken", "/connection/password": "pa55", "/headers/X-A~1b": "h3ader" },
    partition: { index: 1, count: 4 },
    attempt: 2,
    rejects: 2,
    files: { in: Buffer.from("hello") },
    sql: () => SOURCE,
  });
  assert.deepEqual(
    result.rejected.slice(0, 2).map(({ row, reason }) => [recordText({ row }, 0), reason]),
    [
      ['{"row":{"id":1152921504606846976,"price":"NaN"}}', "no price"],
      ['{"row":"a;b"}', "too few fields"],
    ],
  );
  assert.deepEqual([result.state, result.metrics, result.progress], [{ until: 5 }, { pages: 3 }, [[1, 2]]]);
  assert.deepEqual(result.log, [{ level: "warn", message: "careful \ufffd", fields: { page: "3" } }]);
  assert.deepEqual([[...result.written.out!], result.rows().length, result.rows("columns").length], [[1, 2], 3, 3]);
});

test("the examples work and are as short as promised", async () => {
  for (const [name, most] of [
    ["hello", 20],
    ["rest", 40],
    ["columns", 30],
  ] as const) {
    assert.ok(
      readFileSync(join(import.meta.dirname, `../examples/${name}/driver.ts`), "utf8").split("\n").length <= most,
    );
  }
  assert.deepEqual((await run(hello.extract, { config: { names: ["Ada", "☃"] } })).rows(), [
    { greeting: "hello Ada" },
    { greeting: "hello ☃" },
  ]);
  const url = "https://api.example.com";
  const item = { id: 1, name: null, amount: 1.5, tags: ["a"], created_at: "2024-01-31T10:00:00Z" };
  const read = await run(rest.extract, {
    config: { url, page_size: 2 },
    secrets: { "/token": "hunter2" },
    http: [
      { url: `${url}/items?size=2`, json: { items: [item, item], next: 2 } },
      { url: `${url}/items?size=2&page=2`, status: 429, headers: { "Retry-After": "1" } },
      { url: `${url}/items?size=2&page=2`, json: { items: [item], next: null } },
    ],
  });
  assert.deepEqual([read.rows().length, read.rows()[0], read.progress.length, read.waits], [3, item, 2, [1000]]);
  assert.equal(read.requests[0]!.headers.authorization, "Bearer hunter2");
  const types = { qty: t.int32, name: t.string, tags: t.list(t.string), other: t.bool };
  const computed = await run(columns.transform, {
    inputs: { source: { types, rows: [{ qty: 1, name: "ü", tags: ["a", null], other: true }, {}] } },
  });
  assert.deepEqual(computed.rows(), [
    { qty: 2, name: "ü", tags: ["a", null], other: true, upper: "Ü", tag_count: 2 },
    { qty: null, name: null, tags: null, other: null, upper: null, tag_count: null },
  ]);
});
