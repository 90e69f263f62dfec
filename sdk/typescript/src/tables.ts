/** The tables that a step reads and writes. */

import { Batch } from "./batch.js";
import { call, configError, dataError } from "./errors.js";
import { CHUNK, GROUP, records, recordsText, type Json } from "./json.js";
import { drop, opened } from "./resources.js";
import { columnsOf, resolve, same, type Declared, type Type } from "./types.js";

type RawInput = import("osiris:driver/tables@0.2.0").Input;
type RawOutput = import("osiris:driver/tables@0.2.0").Output;
type RawReader = import("osiris:driver/tables@0.2.0").Reader;
type RawJsonReader = import("osiris:driver/tables@0.2.0").JsonReader;

export interface ReadOptions {
  /** Types that few languages have (HUGEINT, UUID, TIMETZ, …) are read as decimal numbers and text. */
  plain?: boolean;
}

const types = (options: ReadOptions) => (options.plain ? "plain" : "exact");

/**
 * Rows that are read from an input or a query, in batches. There is at least one batch, which is empty if there are no
 * rows, so that a table made of the batches always has its columns.
 */
export class Reader implements Iterable<Batch> {
  #raw: RawReader;
  #columns: [string, Type][];

  constructor(raw: RawReader) {
    this.#raw = opened(raw);
    this.#columns = columnsOf(raw.schema().fields);
  }

  /** The columns and their types. */
  get types(): Map<string, Type> {
    return new Map(this.#columns);
  }

  *[Symbol.iterator](): Generator<Batch> {
    try {
      let raw = call(() => this.#raw.next());
      if (!raw) yield Batch.empty(this.#columns);
      for (; raw; raw = call(() => this.#raw.next())) yield Batch.received(this.#columns, raw);
    } finally {
      drop(this.#raw);
    }
  }

  /** The rows one by one, as objects. */
  *rows(): Generator<Record<string, any>> {
    for (const batch of this) yield* batch.rows();
  }
}

/** The records of a reader, one by one. */
export function* jsonRecords(raw: RawJsonReader): Generator<{ [name: string]: Json }> {
  opened(raw);
  try {
    for (let text = call(() => raw.next()); text != null; text = call(() => raw.next())) yield* records(text);
  } finally {
    drop(raw);
  }
}

/** One input of the step: a table that an earlier step wrote. */
export class Input {
  constructor(readonly raw: RawInput) {}

  /** The name that the pipeline gives this input. */
  get alias(): string {
    return this.raw.alias();
  }

  /** The input's name inside SQL, quoted: write `select * from ${input.sqlName}`. */
  get sqlName(): string {
    return this.raw.sqlName();
  }

  /** The number of rows. */
  get length(): number {
    return Number(this.raw.rows());
  }

  /** The columns and their types. */
  get types(): Map<string, Type> {
    return new Map(columnsOf(call(() => this.raw.schema("exact")).fields));
  }

  /** The rows in batches of columns: all columns for an empty list, or those named, in that order. */
  batches(columns: string[] = [], options: ReadOptions = {}): Reader {
    return new Reader(call(() => this.raw.read(columns, types(options))));
  }

  /**
   * The rows as objects of JSON values, which is the fastest way to rows: numbers keep all their digits (an `ExactNumber`
   * where a number would round), and a value of a type that JSON lacks is text, such as `"2024-01-31 10:00:00"`.
   */
  rows(...columns: string[]): Generator<{ [name: string]: Json }> {
    return jsonRecords(call(() => this.raw.readJson(columns)));
  }
}

/** The step's inputs, in the pipeline's order. */
export class Inputs extends Array<Input> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  #names(): string {
    return Array.from(this, (one) => `\`${one.alias}\``).join(", ") || "none";
  }

  /** The input of a driver that takes exactly one. */
  only(): Input {
    if (this.length !== 1)
      throw configError(`the step has ${this.length} inputs (${this.#names()}), but this driver takes exactly one`);
    return this[0]!;
  }

  /** The input with that alias. */
  named(alias: string): Input {
    const found = this.find((one) => one.alias === alias);
    if (!found) throw configError(`the step has no input \`${alias}\`; it has ${this.#names()}`);
    return found;
  }
}

/**
 * A table of rows that is being written. The host decides the types of its columns over all rows, so that every value
 * survives, unless they are declared.
 */
export class Table {
  #output: RawOutput;
  #declared: Record<string, Declared>;
  #raw: import("osiris:driver/tables@0.2.0").JsonWriter | undefined;
  #text: string[] = [];
  #size = 0;
  #rows = 0;
  #finished = false;

  constructor(
    output: RawOutput,
    readonly name: string,
    declared: Record<string, Declared>,
  ) {
    this.#output = output;
    this.#declared = declared;
  }

  /** Appends rows, or a single one. `Date`s, `bigint`s, `Map`s and bytes in them are written as DuckDB reads them. */
  write(rows: Iterable<object> | object): void {
    this.#check();
    const many =
      typeof (rows as Iterable<object>)[Symbol.iterator] === "function" && !(rows instanceof Map)
        ? (rows as Iterable<object>)
        : [rows];
    let group: object[] = [];
    for (const row of many) {
      group.push(row);
      if (group.length < GROUP) continue;
      this.#add(group);
      group = [];
    }
    this.#add(group);
  }

  #add(rows: object[]): void {
    if (!rows.length) return;
    const text = recordsText(rows, this.#rows);
    this.#text.push(text);
    this.#rows += rows.length;
    this.#size += text.length;
    if (this.#size >= CHUNK) this.#flush();
  }

  /**
   * Appends records that are JSON text already: objects, or arrays of them, separated by white space. This is the fastest
   * way for the records of an API that answers with an array: `table.writeJson(response.text)`.
   */
  writeJson(text: string): void {
    this.#check();
    this.#flush();
    call(() => this.#open().append(text));
  }

  #check(): void {
    if (this.#finished) throw dataError(`table \`${this.name}\` is finished, so no more rows can be written to it`);
  }

  #flush(): void {
    if (!this.#text.length) return;
    const text = this.#text.join("\n");
    this.#text = [];
    this.#size = 0;
    call(() => this.#open().append(text));
  }

  #open() {
    const columns = () =>
      Object.entries(this.#declared).map(([name, type]) => ({ name, duckdbType: resolve(type).duckdb }));
    return (this.#raw ??= opened(call(() => this.#output.createJsonTable(this.name, columns()))));
  }

  /** Ends the table. The SDK does this when the driver has returned. */
  finish(): void {
    if (this.#finished) return;
    this.#flush();
    const raw = this.#open();
    this.#finished = true;
    call(() => raw.finish());
    drop(raw);
  }
}

/** A table of columns that is being written, in batches of the same columns. */
class ColumnTable {
  #output: RawOutput;
  #raw: import("osiris:driver/tables@0.2.0").TableWriter | undefined;
  #types = new Map<string, Type>();

  constructor(
    output: RawOutput,
    readonly name: string,
  ) {
    this.#output = output;
  }

  append(batch: Batch): void {
    const given = [...batch.types];
    if (!this.#raw) {
      this.#raw = opened(call(() => this.#output.createTable(this.name, batch.contractSchema())));
      this.#types = batch.types;
    }
    const known = [...this.#types];
    const differs = given.findIndex(([name, type], at) => name !== known[at]?.[0] || !same(type, known[at]![1]));
    if (differs >= 0 || given.length !== known.length) {
      const shown = ([name, type]: [string, Type] | [undefined, undefined]) =>
        name === undefined ? "none" : `\`${name}\` ${type!.duckdb}`;
      const at = differs >= 0 ? differs : given.length;
      throw dataError(
        `a batch for table \`${this.name}\` has other columns than the first one: ${shown(given[at] ?? [undefined, undefined])}, not ${shown(known[at] ?? [undefined, undefined])}`,
      );
    }
    const raw = this.#raw;
    call(() => raw.append(batch.contractBatch()));
  }

  finish(): void {
    const raw = this.#raw;
    if (!raw) return;
    this.#raw = undefined;
    call(() => raw.finish());
    drop(raw);
  }
}

/** The step's output: tables, of which the first should be named `main`. */
export class Output {
  #tables = new Map<string, Table | ColumnTable>();

  constructor(readonly raw: RawOutput) {}

  /** A table of rows, whose columns may be declared: `output.table("main", { id: t.int, amount: t.decimal(18, 2) })`. */
  table(name: string, columns: Record<string, Declared> = {}): Table {
    if (this.#tables.has(name)) throw dataError(`table \`${name}\` was created already`);
    const table = new Table(this.raw, name, columns);
    this.#tables.set(name, table);
    return table;
  }

  /** Appends rows to the table `name`, which the first call creates with the declared `columns`. */
  write(name: string, rows: Iterable<object> | object, columns?: Record<string, Declared>): void {
    const known = this.#tables.get(name);
    if (known instanceof ColumnTable)
      throw dataError(`table \`${name}\` was created by \`append\`, so it takes batches, not rows`);
    if (known && columns)
      throw dataError(`table \`${name}\` was created already, so its columns can no longer be declared`);
    (known ?? this.table(name, columns)).write(rows);
  }

  /** Appends a batch of columns to the table `name`, which the first call creates with the batch's columns. */
  append(name: string, batch: Batch): void {
    const table = this.#tables.get(name) ?? new ColumnTable(this.raw, name);
    if (table instanceof Table) throw dataError(`table \`${name}\` was created for rows, so it does not take batches`);
    this.#tables.set(name, table);
    table.append(batch);
  }

  /** Ends all tables. The SDK calls this when the driver has returned. */
  finish(): void {
    for (const table of this.#tables.values()) table.finish();
  }
}
