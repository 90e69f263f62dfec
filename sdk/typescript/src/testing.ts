/**
 * Runs a driver natively against a fake host: no WebAssembly, no network.
 *
 *     const result = await run(extract, { config: { url: "https://api.example.com" }, http: [
 *       { url: "https://api.example.com/items", json: { items: [{ id: 1 }], next: null } },
 *     ] });
 *     assert.deepEqual(result.rows("main"), [{ id: 1 }]);
 *
 * A driver that fails throws the error that the host would get, an `OsirisError`.
 */

import { Batch } from "./batch.js";
import { dataError, internalError, OsirisError, refusalOf, type Kind } from "./errors.js";
import { provide, type Host, type Incoming, type Outgoing } from "./host.js";
import { ExactNumber, parse, recordText, type Json } from "./json.js";
import { columnsOf, resolve, type Declared, type Type } from "./types.js";
import { parseUrl } from "./url.js";
import { decodeUtf8, encodeUtf8 } from "./utf8.js";

/** One request that the driver is expected to make, and the response to it. Parameters may come in any order. */
export interface Exchange {
  url: string;
  method?: string;
  status?: number;
  headers?: Record<string, string>;
  json?: unknown;
  body?: string | Uint8Array;
  /** The body that the request must have, if it is given. */
  requestJson?: unknown;
  /** Thrown instead of a response. */
  error?: OsirisError;
}

/** A request that the driver made. */
export interface Request {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** The rows of an input, and the types of its columns. */
export interface TestInput {
  rows: Record<string, unknown>[];
  types: Record<string, Declared>;
}

export interface RunOptions {
  config?: object;
  /** By JSON pointer: `{ "/token": "…" }`. */
  secrets?: Record<string, string>;
  /** By alias. */
  inputs?: Record<string, TestInput>;
  /** What the driver is expected to request, each exchange once, or a function that responds to each request. */
  http?: Exchange[] | ((request: Request) => Exchange);
  state?: unknown;
  files?: Record<string, Uint8Array>;
  /** The rows of a SELECT. */
  sql?: (select: string) => TestInput;
  partition?: { index: number; count: number };
  attempt?: number;
  /** How many rows the pipeline lets the step reject; any number by default. */
  rejects?: number;
  batchSize?: number;
}

type FakeTable =
  | { declared: Record<string, string>; records: { [name: string]: Json }[]; finished: boolean }
  | { schema: { fields: never[] }; batches: never[]; finished: boolean };

/** What a run left behind. */
export class Result {
  readonly requests: Request[] = [];
  readonly log: { level: string; message: string; fields: Record<string, string> }[] = [];
  /** The rows that the driver rejected, with its reasons. */
  readonly rejected: { row: Json; reason: string }[] = [];
  readonly metrics: Record<string, number> = {};
  readonly progress: [number, number | undefined][] = [];
  /** How many milliseconds the driver waited, for example before retries. */
  readonly waits: number[] = [];
  readonly written: Record<string, Uint8Array> = {};
  /** What `check` or `discover` returned. */
  returned: unknown;
  state: any;
  /** The names of the resources that were dropped, in order. */
  readonly dropped: string[] = [];
  readonly tables = new Map<string, FakeTable>();

  #table(name: string): FakeTable {
    const table = this.tables.get(name);
    if (!table)
      throw new Error(`the driver made no table \`${name}\`; it made ${[...this.tables.keys()].join(", ") || "none"}`);
    return table;
  }

  /** The rows of a table; those of a table of rows are as they were written. */
  rows(name = "main"): Record<string, any>[] {
    const table = this.#table(name);
    if ("records" in table) {
      const names = [
        ...new Set([...Object.keys(table.declared), ...table.records.flatMap((record) => Object.keys(record))]),
      ];
      return table.records.map((record) => Object.fromEntries(names.map((one) => [one, record[one] ?? null])));
    }
    const columns = columnsOf(table.schema.fields);
    return table.batches.flatMap((batch) => [...Batch.received(columns, batch).rows()]);
  }

  /** The DuckDB types of a table's columns; of a table of rows, those that were declared. */
  types(name = "main"): Record<string, string> {
    const table = this.#table(name);
    return "records" in table
      ? table.declared
      : Object.fromEntries(columnsOf(table.schema.fields).map(([column, type]) => [column, type.duckdb]));
  }
}

interface Driver {
  kind: "extract" | "transform" | "load" | "check" | "discover";
  run(...given: never[]): unknown;
}

/** Runs a driver: what `extractor`, `processor`, `writer`, `checks` or `discovers` returned. */
export async function run(driver: Driver, options: RunOptions = {}): Promise<Result> {
  const result = new Result();
  result.state = options.state;
  const expected = Array.isArray(options.http) ? [...options.http] : (options.http ?? []);
  provide(fakeHost(options, result, expected));
  try {
    const inputs = Object.entries(options.inputs ?? {}).map(([alias, input]) =>
      fakeInput(alias, batchesOf(input, options.batchSize ?? 2048), result),
    );
    const output = fakeOutput(result);
    const given: Record<string, unknown[]> = {
      extract: [output],
      transform: [inputs, output],
      load: [inputs],
      check: [],
      discover: [],
    };
    result.returned = await driver.run(...(given[driver.kind] as never[]));
    for (const [name, table] of result.tables)
      if (!table.finished) throw internalError(`the driver returned, but did not finish the table \`${name}\``);
  } catch (thrown) {
    throw refusalOf(thrown) ?? thrown;
  } finally {
    provide(undefined);
  }
  if (Array.isArray(expected) && expected.length)
    throw new Error(
      `the driver did not make ${expected.length} requests, first ${expected[0]!.method ?? "GET"} ${expected[0]!.url}`,
    );
  return result;
}

/** What the host throws; engines wrap it like this. */
function refuse(kind: Kind, message: string): never {
  throw { payload: { kind, code: undefined, message, retryAfterMs: undefined } };
}

function batchesOf(input: TestInput, size: number): Batch[] {
  const columns = Object.fromEntries(
    Object.keys(input.types).map((name) => [name, input.rows.map((row) => row[name] ?? null)]),
  );
  const whole = Batch.of(columns, input.types);
  const starts = Array.from({ length: Math.max(1, Math.ceil(whole.length / size)) }, (_, at) => at * size);
  return starts.map((start) =>
    whole.take(Array.from({ length: Math.min(size, whole.length - start) }, (_, at) => start + at)),
  );
}

function resource<T extends object>(name: string, result: Result, members: T): T & Disposable {
  return { ...members, [Symbol.dispose]: () => void result.dropped.push(name) };
}

function fakeReader(batches: Batch[], result: Result) {
  const left = batches.filter((batch) => batch.length);
  return resource("reader", result, {
    schema: () => batches[0]!.contractSchema(),
    next: () => left.shift()?.contractBatch(),
  });
}

function fakeJsonReader(batches: Batch[], result: Result) {
  const left = batches.filter((batch) => batch.length);
  const next = () => {
    const batch = left.shift();
    return batch && [...batch.rows()].map((row, at) => `${recordText(row, at)}\n`).join("");
  };
  return resource("json-reader", result, { next });
}

function fakeInput(alias: string, batches: Batch[], result: Result) {
  const chosen = (columns: string[]) => {
    for (const name of columns)
      if (!batches[0]!.has(name))
        refuse(
          "not-found",
          `input \`${alias}\` has no column \`${name}\`; it has ${[...batches[0]!.types.keys()].join(", ")}`,
        );
    return columns.length ? batches.map((batch) => batch.select(...columns)) : batches;
  };
  return resource(`input ${alias}`, result, {
    alias: () => alias,
    sqlName: () => `"${alias.replaceAll('"', '""')}"`,
    rows: () => batches.reduce((sum, batch) => sum + batch.length, 0),
    schema: () => batches[0]!.contractSchema(),
    read: (columns: string[]) => fakeReader(chosen(columns), result),
    readJson: (columns: string[]) => fakeJsonReader(chosen(columns), result),
  });
}

function fakeOutput(result: Result) {
  const add = <T extends FakeTable>(name: string, table: T): T => {
    if (result.tables.has(name)) refuse("internal", `table \`${name}\` exists already`);
    result.tables.set(name, table);
    return table;
  };
  return resource("output", result, {
    createTable(name: string, schema: { fields: never[] }) {
      const table = add(name, { schema, batches: [] as never[], finished: false as boolean });
      return resource("writer", result, {
        append: (batch: never) => void table.batches.push(batch),
        finish: () => (table.finished = true),
      });
    },
    createJsonTable(name: string, columns: { name: string; duckdbType: string }[]) {
      const declared = Object.fromEntries(columns.map((column) => [column.name, column.duckdbType]));
      const table = add(name, { declared, records: [] as { [name: string]: Json }[], finished: false as boolean });
      return resource("json-writer", result, {
        append(text: string) {
          for (const line of text.split("\n").filter(Boolean)) {
            try {
              const record = parse(line) as { [name: string]: Json };
              table.records.push(...(Array.isArray(record) ? record : [record]));
            } catch (error) {
              refuse("data", `record ${table.records.length} is not JSON: ${(error as Error).message}`);
            }
          }
        },
        finish() {
          table.records.forEach((record, at) => checkRecord(record, at, declared));
          return (table.finished = true) && table.records.length;
        },
      });
    },
  });
}

/** A first check of declared columns; the host converts all that DuckDB can. */
function checkRecord(record: { [name: string]: Json }, at: number, declared: Record<string, string>): void {
  for (const [name, duckdb] of Object.entries(declared)) {
    const value = record[name];
    const { format }: Type = resolve(duckdb);
    const isNumber = /^([csilCSILfg]|d:.*)$/.test(format) && duckdb !== "BOOLEAN";
    const isText =
      typeof value === "string" && value.trim() !== "" && !(value in { NaN: 1, Infinity: 1, "-Infinity": 1 });
    if (
      isNumber &&
      (typeof value === "boolean" ||
        (isText && Number.isNaN(Number(value))) ||
        (typeof value === "object" && value !== null && !(value instanceof ExactNumber)))
    ) {
      refuse("data", `record ${at}, column \`${name}\`: ${JSON.stringify(value)} is not a ${duckdb}`);
    }
  }
}

function fakeHost(options: RunOptions, result: Result, expected: Exchange[] | ((request: Request) => Exchange)): Host {
  const secrets = options.secrets ?? {};
  const rows = (select: string) => {
    if (!options.sql) throw new Error("the driver uses SQL: pass `sql`, a function from a SELECT to its rows");
    return batchesOf(options.sql(select), 2048);
  };
  return {
    context: {
      stepId: () => "step",
      config: () => JSON.stringify(options.config ?? {}),
      partition: () => options.partition ?? { index: 0, count: 1 },
      attempt: () => options.attempt ?? 1,
      reject(row: string, reason: string) {
        result.rejected.push({ row: parse(row), reason });
        if (result.rejected.length > (options.rejects ?? Infinity)) refuse("data", `a row was rejected: ${reason}`);
      },
      log: (level: string, message: string, fields: [string, string][]) =>
        void result.log.push({ level, message, fields: Object.fromEntries(fields) }),
      metric: (name: string, value: number) => void (result.metrics[name] = value),
      progress: (done: bigint, total?: bigint) =>
        void result.progress.push([Number(done), total === undefined ? undefined : Number(total)]),
    },
    secrets: {
      get(name: string) {
        const value = secrets[name.startsWith("/") || !name ? name : `/${name.replaceAll(".", "/")}`];
        return value === undefined ? undefined : { reveal: () => value, [Symbol.dispose]() {} };
      },
      list: (below: string) =>
        Object.keys(secrets).filter((name) => !below || name === below || name.startsWith(`${below}/`)),
    },
    state: {
      get: () => (result.state === undefined ? undefined : JSON.stringify(result.state)),
      set(text: string) {
        if (Object.values(secrets).some((value) => text.includes(value)))
          refuse("denied", "the state contains a secret of the step");
        result.state = JSON.parse(text);
      },
    },
    sql: {
      createTable(
        output: { createTable(name: string, schema: unknown): { append(batch: unknown): void; finish(): unknown } },
        name: string,
        select: string,
      ) {
        const batches = rows(select);
        const table = output.createTable(name, batches[0]!.contractSchema());
        for (const batch of batches) table.append(batch.contractBatch());
        table.finish();
        return batches.reduce((sum, batch) => sum + batch.length, 0);
      },
      query: (select: string) => fakeReader(rows(select), result),
      queryJson: (select: string) => fakeJsonReader(rows(select), result),
    },
    files: fakeFiles(options.files ?? {}, result),
    http: {
      send: (request: Outgoing) => respond(request, result, expected),
      sleep: (ms: number) => void result.waits.push(ms),
    },
  } as unknown as Host;
}

function fakeFiles(files: Record<string, Uint8Array>, result: Result) {
  const open = (path: string) => {
    const content = files[path] ?? refuse("denied", `the step was not granted \`${path}\``);
    return {
      sqlLiteral: () => `'${path}'`,
      size: () => content.length,
      read: (offset: number, length: number) => content.subarray(Number(offset), Number(offset) + length),
    };
  };
  const create = (path: string) => {
    result.written[path] = new Uint8Array();
    return {
      sqlLiteral: () => `'${path}'`,
      write(bytes: Uint8Array) {
        const before = result.written[path]!;
        const whole = new Uint8Array(before.length + bytes.length);
        whole.set(before);
        whole.set(bytes, before.length);
        result.written[path] = whole;
      },
    };
  };
  return {
    list: (path: string) => [open(path) && path],
    open,
    create,
    createTemporary: () => create(`temporary-${Object.keys(result.written).length}`),
  };
}

/** An address with its parameters in order. */
function normalized(url: string): string {
  const parts = parseUrl(url);
  return parts
    ? `${parts.scheme}://${parts.authority}${parts.path}?${parts.query.split("&").map(decodeURIComponent).sort().join("&")}`
    : url;
}

function respond(
  outgoing: Outgoing,
  result: Result,
  expected: Exchange[] | ((request: Request) => Exchange),
): Incoming {
  const request = {
    method: outgoing.method,
    url: outgoing.url,
    headers: Object.fromEntries(outgoing.headers),
    body: outgoing.body ? decodeUtf8(outgoing.body) : "",
  };
  result.requests.push(request);
  let exchange: Exchange;
  if (typeof expected === "function") {
    exchange = expected(request);
  } else {
    const matches = (one: Exchange) =>
      (one.method ?? "GET") === request.method &&
      normalized(one.url) === normalized(request.url) &&
      (one.requestJson === undefined || JSON.stringify(one.requestJson) === request.body);
    const at = expected.findIndex(matches);
    if (at < 0)
      throw new Error(
        `the driver made a request that is not recorded: ${request.method} ${request.url}; left: ${expected.map((one) => `${one.method ?? "GET"} ${one.url}`).join("; ") || "nothing"}`,
      );
    exchange = expected.splice(at, 1)[0]!;
  }
  if (exchange.error) throw exchange.error;
  const headers = Object.entries(exchange.headers ?? {});
  const body = exchange.body ?? (exchange.json === undefined ? "" : JSON.stringify(exchange.json));
  const bytes = typeof body === "string" ? encodeUtf8(body) : body;
  if (bytes.length > outgoing.maxBytes)
    throw dataError(`the response is larger than the ${outgoing.maxBytes} bytes that it may be`);
  return { status: exchange.status ?? 200, headers, body: bytes };
}
