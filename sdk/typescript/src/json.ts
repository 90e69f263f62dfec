/** JSON that loses no digit: numbers that JavaScript would round are `ExactNumber`s, in both directions. */

import { dataError } from "./errors.js";

/** A number with more digits than JavaScript's numbers have. It calculates as a number and is written with all digits. */
export class ExactNumber {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }

  valueOf(): number {
    return Number(this.text);
  }

  /** A number with all its digits in what the SDK writes; text in the driver's own `JSON.stringify`. */
  toJSON(): string {
    if (!encoding) return this.text;
    marked = true;
    return `${mark}${this.text}${mark}`;
  }
}

export type Json = null | boolean | number | string | ExactNumber | Json[] | { [name: string]: Json };

/** A number that may have more digits than a double keeps. */
const LONG = /[0-9.]{16}|[eE][+-]?[0-9]{3}/;

/** Parses JSON. A number that a double would round is an `ExactNumber`, unless `exact` is false. */
export function parse(text: string, exact = true): Json {
  if (!exact || !LONG.test(text)) return JSON.parse(text) as Json;
  const parser = new Parser(text);
  return parser.whole();
}

/** Parses what `JSON.parse` would round. It only has to find numbers: the texts themselves are parsed by the engine. */
class Parser {
  #at = 0;

  constructor(readonly text: string) {}

  whole(): Json {
    const value = this.#value();
    this.#space();
    if (this.#at < this.text.length) this.#fail();
    return value;
  }

  #space(): void {
    while (" \t\r\n".includes(this.text[this.#at] ?? "x")) this.#at++;
  }

  #fail(): never {
    throw new SyntaxError(`unexpected ${JSON.stringify(this.text[this.#at] ?? "end")} at position ${this.#at}`);
  }

  #take(literal: string): boolean {
    this.#space();
    if (!this.text.startsWith(literal, this.#at)) return false;
    this.#at += literal.length;
    return true;
  }

  #value(): Json {
    if (this.#take("{")) return this.#object();
    if (this.#take("[")) return this.#array();
    if (this.text[this.#at] === '"') return this.#string();
    for (const [literal, value] of [
      ["null", null],
      ["true", true],
      ["false", false],
    ] as const)
      if (this.#take(literal)) return value;
    const number = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
    number.lastIndex = this.#at;
    const source = number.exec(this.text)?.[0] ?? this.#fail();
    this.#at += source.length;
    return exactNumber(source);
  }

  #string(): string {
    const string = /"(?:[^"\\]|\\.)*"/y;
    string.lastIndex = this.#at;
    const source = string.exec(this.text)?.[0] ?? this.#fail();
    this.#at += source.length;
    return JSON.parse(source) as string;
  }

  #array(): Json[] {
    const items: Json[] = [];
    if (this.#take("]")) return items;
    do items.push(this.#value());
    while (this.#take(","));
    return this.#take("]") ? items : this.#fail();
  }

  #object(): { [name: string]: Json } {
    const members: { [name: string]: Json } = {};
    if (this.#take("}")) return members;
    do {
      this.#space();
      const name = this.#string();
      if (!this.#take(":")) this.#fail();
      const value = this.#value();
      // An assignment to `__proto__` would not make a member.
      Object.defineProperty(members, name, { value, writable: true, enumerable: true, configurable: true });
    } while (this.#take(","));
    return this.#take("}") ? members : this.#fail();
  }
}

/** A number in JSON: a `number` if that keeps all its digits, or else an `ExactNumber`. */
export function exactNumber(source: string): number | ExactNumber {
  const value = Number(source);
  // A number writes an integer beyond 10^21 with an exponent, which makes it a DOUBLE.
  if (/^-?[0-9]+$/.test(source)) return Number.isSafeInteger(value) ? value : new ExactNumber(source);
  return normal(source) === normal(String(value)) ? value : new ExactNumber(source);
}

/** A number's sign, digits and exponent in one spelling. */
function normal(source: string): string {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] =
    /^(-?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?$/.exec(source) ?? [];
  const digits = (whole + fraction).replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  return short === "" ? "0" : `${sign}${short}e${Number(exponent) - fraction.length + digits.length - short.length}`;
}

/** How much text is passed to the host at once. */
export const CHUNK = 1 << 20;

// JSON cannot say that a text in quotes is meant as a number, so one is marked with a text that no data contains.
let mark = "";
let marked = false;
let encoding = false;

/** A value as JSON in which an `ExactNumber` is a number with all its digits. */
export function jsonText(value: unknown): string {
  mark ||= `${Math.random()}${Math.random()}${Date.now()}`;
  marked = false;
  encoding = true;
  try {
    const text = JSON.stringify(value);
    return marked ? text.replaceAll(`"${mark}`, "").replaceAll(`${mark}"`, "") : text;
  } finally {
    encoding = false;
  }
}

/** How `JSON.stringify` writes what JSON lacks, while it writes rows. */
const EXTENSIONS = new Map<object, (value: any) => unknown>([
  [BigInt.prototype, (value: bigint) => new ExactNumber(String(value)).toJSON()],
  [Map.prototype, (value: Map<string, unknown>) => Object.fromEntries(value)],
  [Set.prototype, (value: Set<unknown>) => [...value]],
  [Uint8Array.prototype, (value: Uint8Array) => blobText(value)],
  // JSON would leave it out.
  [
    Function.prototype,
    () => {
      throw new Error(UNWRITABLE);
    },
  ],
]);
const UNWRITABLE = "a function or a symbol is no value";

function extendedText(rows: readonly unknown[]): string {
  // The driver may have its own.
  const before = [...EXTENSIONS.keys()].map((prototype) => Object.getOwnPropertyDescriptor(prototype, "toJSON"));
  for (const [prototype, convert] of EXTENSIONS) {
    const toJSON = function (this: unknown) {
      return convert(this);
    };
    Object.defineProperty(prototype, "toJSON", { value: toJSON, configurable: true });
  }
  try {
    return jsonText(rows);
  } finally {
    for (const [place, prototype] of [...EXTENSIONS.keys()].entries()) {
      const own = before[place];
      if (own) Object.defineProperty(prototype, "toJSON", own);
      else delete (prototype as { toJSON?: unknown }).toJSON;
    }
  }
}

/** How many rows are encoded by one call, which is faster than one by one. */
export const GROUP = 64;

/** The text of some rows, for DuckDB to read: an array of records, or the records one by one. */
export function recordsText(rows: readonly unknown[], at: number): string {
  if (rows.length > 1) {
    let text: string | undefined;
    try {
      text = extendedText(rows);
    } catch {
      // A value that cannot be written is named below.
    }
    // NaN and dates that are none become null.
    const isWhole = text && text.length <= CHUNK && (!text.includes("null") || rows.every((row) => isJson(row, 0)));
    if (isWhole && rows.every((row) => (row as object | null)?.constructor === Object || isRecord(row))) return text!;
  }
  return rows.map((row, place) => recordText(row, at + place)).join("\n");
}

function isRecord(row: unknown): boolean {
  return (
    typeof row === "object" &&
    row !== null &&
    !(Array.isArray(row) || row instanceof Set || row instanceof Date || row instanceof Uint8Array)
  );
}

/** Whether JSON has a type for the value and everything in it. */
function isJson(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null)
    return typeof value === "number" ? value - value === 0 : value === null || PLAIN.includes(typeof value);
  if (value instanceof ExactNumber) return true;
  const kind = Object.getPrototypeOf(value) as unknown;
  if (depth > MOST_LEVELS || (kind !== Object.prototype && kind !== Array.prototype && kind !== null)) return false;
  for (const item of Object.values(value)) {
    // A loop of its own for what most values are: calls cost time in an interpreter.
    const type = typeof item;
    if (type === "string" || type === "boolean" || item === null) continue;
    if (type === "number" ? (item as number) - (item as number) !== 0 : !isJson(item, depth + 1)) return false;
  }
  return true;
}

const PLAIN = ["string", "boolean", "undefined"];
const MOST_LEVELS = 500;

/** One record as JSON, for DuckDB to read. NaN and the infinities are texts, as in what the host passes to drivers. */
export function recordText(row: unknown, at: number): string {
  const record = row instanceof Map ? Object.fromEntries(row) : row;
  if (!isRecord(record)) throw dataError(`row ${at} is not an object, but ${shown(row)}`);
  if (isJson(record, 0)) return jsonText(record);
  const members: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(record as object)) {
    try {
      Object.defineProperty(members, name, { value: plain(value, 0), enumerable: true });
    } catch (error) {
      throw dataError(`row ${at}, column \`${name}\`: ${(error as Error).message}`);
    }
  }
  return jsonText(members);
}

/** A value that JSON lacks, as DuckDB reads it. */
function plain(value: unknown, depth: number): unknown {
  if (depth > MOST_LEVELS) throw new Error("it is nested too deeply, or contains itself");
  const inner = (item: unknown) => plain(item, depth + 1);
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return new ExactNumber(String(value));
  if (typeof value === "function" || typeof value === "symbol") throw new Error(UNWRITABLE);
  if (typeof value !== "object" || value === null || value instanceof ExactNumber) return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return blobText(value);
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, item]) => [String(name), inner(item)]));
  if (Array.isArray(value) || value instanceof Set)
    return [...value].map((item) => (item === undefined ? null : inner(item)));
  const members: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    Object.defineProperty(members, name, { value: inner((value as Record<string, unknown>)[name]), enumerable: true });
  }
  return members;
}

/** Bytes as the text of a DuckDB BLOB. */
export function blobText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    const isPlain = byte >= 32 && byte < 127 && byte !== 0x5c && byte !== 0x22 && byte !== 0x27;
    text += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

/** A value for a message, cut short. */
export function shown(value: unknown): string {
  const text =
    typeof value === "string"
      ? JSON.stringify(value)
      : typeof value === "bigint"
        ? `${value}`
        : typeof value === "object" && value !== null
          ? `a value of type ${value.constructor?.name ?? "object"}`
          : String(value);
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}

/** The records of a text that a reader gave: one a line. A line feed inside a text is escaped. */
export function records(text: string): { [name: string]: Json }[] {
  if (!LONG.test(text)) return JSON.parse(`[${text.trimEnd().replaceAll("\n", ",")}]`) as { [name: string]: Json }[];
  const lines = text.split("\n").filter(Boolean);
  return lines.map((line) => parse(line) as { [name: string]: Json });
}
