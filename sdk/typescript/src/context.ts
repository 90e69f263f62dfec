/** The step that the driver works for: its secrets, its log, its metrics, its state, its files, and SQL over its inputs. */

import { call, dataError, internalError, wellFormed } from "./errors.js";
import { host } from "./host.js";
import { jsonRecords, Reader, type Output, type ReadOptions } from "./tables.js";
import { jsonText, parse, recordText, type Json } from "./json.js";

/** The id of the step in the pipeline, such as `extract-flights`. */
export const stepId = (): string => host().context.stepId();

/** The part of the step's work that this instance does; part 0 of 1 unless several run in parallel. */
export const partition = (): { index: number; count: number } => host().context.partition();

/** The number of this attempt of the step, counted from 1. */
export const attempt = (): number => host().context.attempt();

/**
 * Rejects one row that cannot be understood or delivered: the host stores it with the reason in the step's table
 * `rejected`, which a writer's step has too. The row is an object, or a text if it cannot be parsed. It throws a `data` error for more rows than the pipeline allows (`rejects`,
 * by default none); the step fails then in any case.
 */
export function reject(row: unknown, reason: string): void {
  const text = typeof row === "string" ? JSON.stringify(wellFormed(row)) : recordText(row, 0);
  call(() => host().context.reject(text, wellFormed(reason)));
}

/**
 * The secret in a field of the config, named by its JSON pointer (`/connection/password`) or, if no name in the path
 * contains a dot, by `connection.password`; `undefined` if the step has no secret there.
 */
export function secret(name: string): string | undefined {
  const found = host().secrets.get(name);
  if (!found) return undefined;
  try {
    return found.reveal();
  } finally {
    found[Symbol.dispose]?.();
  }
}

/** The secrets of the fields below `place`, such as `/headers`, by the rest of their path. */
export function secretsBelow(place: string): Record<string, string> {
  const names = host().secrets.list(place);
  return Object.fromEntries(
    names.map((name) => [
      name
        .slice(place.length + 1)
        .replaceAll("~1", "/")
        .replaceAll("~0", "~"),
      secret(name)!,
    ]),
  );
}

/** Records a number, such as `requests_sent`, in the session's metrics. */
export const metric = (name: string, value: number): void => host().context.metric(name, value);

/** Reports that `done` of `total` units are done. Call it as often as convenient; the host limits the rate. */
export function progress(done: number, total?: number): void {
  // One engine passes a 64-bit integer as a number, the other as a bigint.
  const wide = (value: number) => (wideNumbers ? BigInt(value) : value) as bigint;
  host().context.progress(wide(done), total === undefined ? undefined : wide(total));
}

let wideNumbers = false;

/** Says that the engine passes 64-bit integers as bigints. */
export function useWideNumbers(): void {
  wideNumbers = true;
}

type Level = import("osiris:driver/context@0.2.0").Level;
type Fields = Record<string, unknown>;

function write(level: Level, message: string, fields: Fields = {}): void {
  host().context.log(
    level,
    wellFormed(message),
    Object.entries(fields).map(([name, value]) => [name, wellFormed(String(value))]),
  );
}

/** Writes structured lines to the session's log: `log.info("read a page", { page: 3 })`. */
export const log = {
  trace: (message: string, fields?: Fields) => write("trace", message, fields),
  debug: (message: string, fields?: Fields) => write("debug", message, fields),
  info: (message: string, fields?: Fields) => write("info", message, fields),
  warn: (message: string, fields?: Fields) => write("warn", message, fields),
  error: (message: string, fields?: Fields) => write("error", message, fields),
};

function missing(what: string, grant: string): never {
  throw internalError(`the driver uses ${what}, but was built without it; add \`${grant}\` to the grants in its spec`);
}

/** The state that a step stores from one run to the next. The driver's spec must request `state`. */
export const state = {
  /** The JSON value that the last run stored; `undefined` in the first run. */
  get<T = any>(): T | undefined {
    const stored = (host().state ?? missing("`state`", "state")).get();
    return stored == null ? undefined : (parse(stored) as T);
  },
  /** Stores a JSON value for the next run, once this step and every step that needs it have succeeded. */
  set(value: unknown): void {
    const text = jsonText(value) as string | undefined;
    if (text === undefined) throw dataError("the state cannot be stored as JSON");
    const stored = host().state ?? missing("`state`", "state");
    call(() => stored.set(text));
  },
};

/** SQL over the step's inputs, inside DuckDB. Each call takes exactly one SELECT statement. */
export const sql = {
  /** Creates the table `name` in `output` from the rows of `select`; returns the number of rows. */
  createTable: (output: Output, name: string, select: string): number =>
    Number(call(() => host().sql.createTable(output.raw, name, select))),
  /** Runs `select` and reads its rows in batches of columns. */
  query: (select: string, options: ReadOptions = {}): Reader =>
    new Reader(call(() => host().sql.query(select, options.plain ? "plain" : "exact"))),
  /** Runs `select` and reads its rows as objects of JSON values. */
  rows: (select: string): Generator<{ [name: string]: Json }> => jsonRecords(call(() => host().sql.queryJson(select))),
  /** The text as a string literal for a SELECT. */
  literal: (text: string): string => `'${text.replaceAll("'", "''")}'`,
  /** The name of a column as a quoted identifier for a SELECT. */
  identifier: (name: string): string => `"${name.replaceAll('"', '""')}"`,
};

const PART = 8 << 20;

/** A granted file that is read. */
export class Source {
  constructor(readonly raw: import("osiris:driver/files@0.2.0").Source) {}

  /** The file as a string literal: `from read_csv(${source.sqlLiteral})`. */
  get sqlLiteral(): string {
    return this.raw.sqlLiteral();
  }

  get size(): number {
    return Number(this.raw.size());
  }

  /** The content from `offset`, in parts. */
  *parts(offset = 0): Generator<Uint8Array> {
    for (let at = offset; ;) {
      const part = call(() => this.raw.read((wideNumbers ? BigInt(at) : at) as bigint, PART));
      if (!part.length) return;
      yield part;
      at += part.length;
    }
  }
}

/** A file that is written: a granted one, or a temporary one that DuckDB then reads. */
export class Target<R extends { write(bytes: Uint8Array): void }> {
  constructor(readonly raw: R) {}

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PART) call(() => this.raw.write(bytes.subarray(at, at + PART)));
  }
}

/** The files that the step was granted, each by the path in its config, and the step's own temporary files. */
export const files = {
  list: (path: string): string[] => call(() => host().files.list(path)),
  open: (path: string): Source => new Source(call(() => host().files.open(path))),
  /** Opens a granted file for writing. It replaces the file of that path only when the whole step has succeeded. */
  create: (path: string): Target<import("osiris:driver/files@0.2.0").Target> =>
    new Target(call(() => host().files.create(path))),
  /** Writes the rows of one SELECT to a granted file with DuckDB's own writer; returns the number of rows. */
  copy(path: string, select: string, format: "csv" | "parquet" | "json", options: Record<string, string> = {}): number {
    const target = call(() => host().files.create(path));
    return Number(call(() => target.copy(select, format, Object.entries(options))));
  },
  /** Creates an empty temporary file; its name for DuckDB is `file.raw.sqlLiteral()`. */
  temporary: (): Target<import("osiris:driver/files@0.2.0").Temporary> =>
    new Target(call(() => host().files.createTemporary())),
};

/** TCP connections, to each `host:port` that the step was granted. The driver's spec must request `connect`. */
export const tcp = {
  /** Connects; the connection has `read`, `write`, `setTimeout` and `startTls` as in the contract. */
  connect(name: string, port: number, timeoutMs = 60_000) {
    const connections = host().tcp ?? missing("TCP", "connect");
    return call(() => connections.connect(name, port, timeoutMs));
  },
};
