/** Turns JavaScript values into the buffers of a column. */

import { LARGEST_OFFSET, NUMBERS, TICKS, type Node } from "./decode.js";
import { dataError, type OsirisError } from "./errors.js";
import { ExactNumber, jsonText, shown } from "./json.js";
import { extensionOf, type Interval, type Tagged, type Type } from "./types.js";
import { encodeUtf8 } from "./utf8.js";

const EMPTY = new Uint8Array();

const bytesOf = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** Thrown inside for a value that does not fit; its column and row are added outside. */
class Unfit extends Error {}

function unfit(of: Type, place: string, row: number, value: unknown, why: string): OsirisError {
  return dataError(`${place}, row ${row}: ${shown(value)} is not a ${of.duckdb}${why ? ` (${why})` : ""}`);
}

/**
 * The nodes of a column with these values, in pre-order. Throws a `data` error, which names the column and the row, for
 * a value that does not fit the type without loss.
 */
export function encode(of: Type, values: ArrayLike<unknown>, place: string): Node[] {
  const numbers = NUMBERS[of.format as keyof typeof NUMBERS];
  if (numbers && values instanceof numbers)
    return [node(values.length, EMPTY, bytesOf(values as unknown as ArrayBufferView))];
  const { format } = of;
  if (format === "n") return [node(values.length)];
  if (format.startsWith("+us:")) return union(of, values, place);
  const valid = validity(values);
  const each = <T>(convert: (value: never) => T, missing: T): T[] => {
    const converted = new Array<T>(values.length);
    for (let at = 0; at < values.length; at++) {
      const value = values[at];
      try {
        converted[at] = value == null ? missing : convert(value as never);
      } catch (error) {
        if (
          error instanceof Unfit ||
          error instanceof SyntaxError ||
          error instanceof TypeError ||
          error instanceof RangeError
        )
          throw unfit(of, place, at, value, error.message);
        throw error;
      }
    }
    return converted;
  };
  const child = (at: number, items: unknown[]) => encode(of.children[at]![1], items, `${place}.${of.children[at]![0]}`);
  if (format === "+l" || format === "+m" || format.startsWith("+w:")) {
    const size = format.startsWith("+w:") ? Number(format.slice(3)) : -1;
    const convert =
      format === "+m"
        ? (value: Map<unknown, unknown> | object) => entries(of, value)
        : (value: unknown[]) => list(value, size);
    const lists = each<unknown[]>(convert as never, size < 0 ? [] : new Array(size).fill(null));
    const flat = lists.flat(1);
    return [
      node(values.length, valid, ...(size < 0 ? [offsets(lists.map((items) => items.length))] : [])),
      ...child(0, flat),
    ];
  }
  if (format === "+s") {
    const names = of.children.map(([name]) => name);
    const rows = each<Record<string, unknown>>((value: object) => memberValues(value, names), {});
    return [
      node(values.length, valid),
      ...names.flatMap((name, at) =>
        child(
          at,
          rows.map((row) => row[name]),
        ),
      ),
    ];
  }
  return [node(values.length, valid, ...buffers(of, each, values.length))];
}

function node(length: number, ...buffers: Uint8Array[]): Node {
  return { length, buffers };
}

/** The validity bitmap, which is empty if no value is null. */
function validity(values: ArrayLike<unknown>): Uint8Array {
  const bits = new Uint8Array((values.length + 7) >> 3);
  let nulls = 0;
  for (let at = 0; at < values.length; at++) {
    if (values[at] == null) nulls++;
    else bits[at >> 3]! |= 1 << (at & 7);
  }
  return nulls ? bits : EMPTY;
}

type Each = <T>(convert: (value: never) => T, missing: T) => T[];

/** The buffers behind the validity bitmap of a column without children. */
function buffers(of: Type, each: Each, length: number): Uint8Array[] {
  const { format } = of;
  const extension = extensionOf(of);
  if (extension === "arrow.bool8") return [Uint8Array.from(each<number>(boolean, 0))];
  if (format === "b") {
    const bits = new Uint8Array((length + 7) >> 3);
    each<number>(boolean, 0).forEach((value, at) => (bits[at >> 3]! |= value << (at & 7)));
    return [bits];
  }
  if (format === "l" || format === "L") {
    const bounds = format === "l" ? ([-(2n ** 63n), 2n ** 63n - 1n] as const) : ([0n, 2n ** 64n - 1n] as const);
    const least = format === "l" ? -Infinity : 0;
    const values = each<number | bigint>(
      (value: unknown) =>
        typeof value === "number" && value >= least && Number.isSafeInteger(value) ? value : whole(value, ...bounds),
      0,
    );
    return [int64(values)];
  }
  if (format === "f" || format === "g")
    return [bytesOf(NUMBERS[format].from(each<number>((value) => double(value, format === "f"), 0)))];
  if (format in NUMBERS) {
    const bits = 8 * NUMBERS[format as "i"].BYTES_PER_ELEMENT;
    const [low, high] = format >= "a" ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
    return [bytesOf(NUMBERS[format as "i"].from(each<number>((value) => small(value, low!, high!), 0)))];
  }
  if (["u", "U", "z", "Z"].includes(format)) {
    const convert = VARIABLE[extension] ?? (format.toLowerCase() === "u" ? text : binary);
    return joined(each<Uint8Array>(convert as never, EMPTY), format === "U" || format === "Z");
  }
  if (format.startsWith("w:")) {
    const width = Number(format.slice(2));
    const convert = FIXED[extension] ?? ((value: Uint8Array) => binary(value));
    return [
      concatenated(
        each<Uint8Array>(((value: never) => exactly(convert(value), width)) as never, new Uint8Array(width)),
      ),
    ];
  }
  if (format.startsWith("d:")) {
    const [precision, scale] = format.slice(2).split(",").map(Number) as [number, number];
    return [
      concatenated(
        each<Uint8Array>(
          ((value: unknown) => little(unscaled(value, precision, scale), 16)) as never,
          new Uint8Array(16),
        ),
      ),
    ];
  }
  if (format.startsWith("t")) return [times(format, each)];
  throw dataError(`a column is declared as ${of.duckdb}, which can only be the type of a table of JSON rows`);
}

/** Integers of 64 bits. A number is written in halves: a `bigint` for each of them would take several times as long. */
function int64(values: (number | bigint)[]): Uint8Array {
  const halves = new Int32Array(2 * values.length);
  const wholes = new BigInt64Array(halves.buffer);
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (typeof value === "bigint") {
      wholes[at] = BigInt.asIntN(64, value);
    } else {
      halves[2 * at] = value;
      halves[2 * at + 1] = Math.floor(value / 0x1_0000_0000);
    }
  }
  return bytesOf(halves);
}

function joined(parts: Uint8Array[], long: boolean): Uint8Array[] {
  return [
    offsets(
      parts.map((part) => part.length),
      long,
    ),
    concatenated(parts),
  ];
}

function offsets(lengths: number[], long = false): Uint8Array {
  const ends = new (long ? Float64Array : Int32Array)(lengths.length + 1);
  lengths.forEach((length, at) => (ends[at + 1] = ends[at]! + length));
  return bytesOf(long ? BigInt64Array.from(ends, BigInt) : (ends as Int32Array));
}

function concatenated(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

const wrongType = (value: unknown): never => {
  throw new Unfit(`it is of type ${value instanceof Object ? value.constructor.name : typeof value}`);
};

const boolean = (value: unknown): number => (typeof value === "boolean" ? Number(value) : wrongType(value));
const text = (value: unknown): Uint8Array => (typeof value === "string" ? encodeUtf8(value) : wrongType(value));
const binary = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : wrongType(value));

function exactly<T extends { length: number }>(value: T, size: number): T {
  if (value.length !== size) throw new Unfit(`its length is ${value.length}, not ${size}`);
  return value;
}

function small(value: unknown, low: number, high: number): number {
  const number = typeof value === "bigint" ? Number(value) : typeof value === "number" ? value : wrongType(value);
  if (!Number.isInteger(number)) throw new Unfit("it is not an integer");
  if (number < low || number > high) throw new Unfit("it is out of range");
  return number;
}

function whole(value: unknown, low?: bigint, high?: bigint): bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value))
    throw new Unfit(
      Number.isInteger(value) ? "a number beyond 2^53 is not exact; use a bigint" : "it is not an integer",
    );
  const number =
    value instanceof ExactNumber
      ? BigInt(value.text)
      : typeof value === "number" || typeof value === "bigint"
        ? BigInt(value)
        : wrongType(value);
  if ((low !== undefined && number < low) || (high !== undefined && number > high))
    throw new Unfit("it is out of range");
  return number;
}

function double(value: unknown, single: boolean): number {
  const number = typeof value === "number" ? value : value instanceof ExactNumber ? Number(value) : wrongType(value);
  if (single && Number.isFinite(number) && !Number.isFinite(Math.fround(number))) throw new Unfit("it is too large");
  return number;
}

function little(value: bigint, width: number): Uint8Array {
  const bytes = new Uint8Array(width);
  for (let at = 0; at < width; at++, value >>= 8n) bytes[at] = Number(value & 0xffn);
  return bytes;
}

function unscaled(value: unknown, precision: number, scale: number): bigint {
  if (
    typeof value !== "string" &&
    typeof value !== "number" &&
    typeof value !== "bigint" &&
    !(value instanceof ExactNumber)
  )
    wrongType(value);
  const parts = /^([+-]?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?$/.exec(String(value));
  if (!parts || parts[2]! + parts[3]! === "") throw new Unfit("it is not a finite number");
  const shift = scale + Number(parts[4] ?? 0) - parts[3]!.length;
  let digits = parts[2]! + parts[3]!;
  if (shift >= 0) digits += "0".repeat(Math.min(shift, 100));
  else if (/[^0]/.test(digits.slice(shift))) throw new Unfit(`it has more than ${scale} digits behind the point`);
  else digits = digits.slice(0, shift);
  const number = BigInt(digits || "0");
  if (number >= 10n ** BigInt(precision)) throw new Unfit(`it has more than ${precision} digits`);
  return parts[1] === "-" ? -number : number;
}

const VARIABLE: Record<string, (value: never) => Uint8Array> = {
  "arrow.json"(value: unknown) {
    if (typeof value !== "string") return encodeUtf8(jsonText(value));
    JSON.parse(value);
    return encodeUtf8(value);
  },
  bit(value: string) {
    if (!/^[01]+$/.test(value)) throw new Unfit("it is not a text of 0 and 1");
    const unused = (8 - (value.length % 8)) % 8;
    const filled = "1".repeat(unused) + value;
    return Uint8Array.from([unused, ...filled.match(/.{8}/g)!.map((byte) => parseInt(byte, 2))]);
  },
  bignum(value: unknown) {
    const number = whole(value);
    const size = number < 0n ? -number : number;
    const hex = size.toString(16);
    const digits = (hex.length % 2 ? `0${hex}` : hex).match(/../g)!.map((byte) => parseInt(byte, 16));
    const raw = [0x80 | (digits.length >> 16), (digits.length >> 8) & 255, digits.length & 255, ...digits];
    return Uint8Array.from(number < 0n ? raw.map((byte) => byte ^ 0xff) : raw);
  },
};

const FIXED: Record<string, (value: never) => Uint8Array> = {
  "arrow.uuid"(value: string) {
    if (!/^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(value)) throw new Unfit("");
    return Uint8Array.from(value.replaceAll("-", "").match(/../g)!, (byte) => parseInt(byte, 16));
  },
  hugeint: (value: unknown) => little(whole(value, -(2n ** 127n), 2n ** 127n - 1n), 16),
  uhugeint: (value: unknown) => little(whole(value, 0n, 2n ** 128n - 1n), 16),
  time_tz(value: string) {
    const parts = /^(.*?)(Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)$/.exec(value);
    if (!parts) throw new Unfit("it has no zone");
    return little((clock(parts[1]!, 1_000_000n) << 24n) | BigInt(LARGEST_OFFSET - zone(parts[2]!)), 8);
  },
};

/** The seconds of a zone such as `+02:00`. */
function zone(of: string): number {
  if (of === "Z") return 0;
  const [hours = 0, minutes = 0, seconds = 0] = of.slice(1).replaceAll(":", "").match(/../g)!.map(Number);
  return (of.startsWith("-") ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
}

function times(format: string, each: Each): Uint8Array {
  if (format === "tin") return concatenated(each<Uint8Array>(interval, new Uint8Array(16)));
  if (format === "tdD") return bytesOf(Int32Array.from(each<number>(day, 0)));
  const ticks = TICKS[format[2]!];
  if (ticks === undefined || !/^t[st]/.test(format))
    throw dataError(`Arrow's format \`${format}\` cannot be written from JavaScript values`);
  if (format.startsWith("tt")) {
    const values = each<bigint>((value) => clock(value, ticks), 0n);
    return bytesOf("sm".includes(format[2]!) ? Int32Array.from(values, Number) : BigInt64Array.from(values));
  }
  return bytesOf(BigInt64Array.from(each<bigint>((value) => moment(value, ticks, format.length > 4), 0n)));
}

function interval(value: Interval): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, small(value.months, -(2 ** 31), 2 ** 31 - 1), true);
  view.setInt32(4, small(value.days, -(2 ** 31), 2 ** 31 - 1), true);
  view.setBigInt64(8, whole(value.nanoseconds, -(2n ** 63n), 2n ** 63n - 1n), true);
  return bytes;
}

/** A day's number since 1970. */
function day(value: unknown): number {
  if (value === "infinity" || value === "-infinity") return value === "infinity" ? 2 ** 31 - 1 : -(2 ** 31) + 1;
  if (typeof value !== "string") wrongType(value);
  const parts = /^([+-]?\d{4,6})-(\d\d)-(\d\d)$/.exec(value as string);
  const date = new Date(0);
  if (parts) date.setUTCFullYear(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3]));
  // `Date` takes February 30 for March 1.
  if (!parts || date.getUTCMonth() !== Number(parts[2]) - 1 || date.getUTCDate() !== Number(parts[3]))
    throw new Unfit("it is not a day such as 2024-01-31");
  return date.getTime() / 86_400_000;
}

/** The ticks of a time of day. */
function clock(value: unknown, ticks: bigint): bigint {
  if (typeof value !== "string") wrongType(value);
  const parts = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?$/.exec(value as string);
  const [, hours, minutes, seconds = "0", fraction = ""] = parts ?? [];
  if (
    !parts ||
    Number(minutes) > 59 ||
    Number(seconds) > 59 ||
    (Number(hours) > 23 && !/^24:00(:00(\.0*)?)?$/.test(value as string))
  )
    throw new Unfit("it is not a time such as 10:00:00.000001");
  const nanoseconds =
    (BigInt(hours!) * 3600n + BigInt(minutes!) * 60n + BigInt(seconds)) * 1_000_000_000n +
    BigInt(fraction.padEnd(9, "0"));
  return inTicks(nanoseconds, ticks);
}

function inTicks(nanoseconds: bigint, ticks: bigint): bigint {
  const size = 1_000_000_000n / ticks;
  if (nanoseconds % size) throw new Unfit("it is finer than the type");
  return nanoseconds / size;
}

function moment(value: unknown, ticks: bigint, zoned: boolean): bigint {
  if (value instanceof Date) return inTicks(BigInt(value.getTime()) * 1_000_000n, ticks);
  if (value === "infinity" || value === "-infinity") return value === "infinity" ? 2n ** 63n - 1n : -(2n ** 63n) + 1n;
  if (typeof value !== "string") wrongType(value);
  const parts = /^(.*?)[T ](\d\d:.*?)(Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?$/.exec(value as string);
  if (!parts) throw new Unfit("it is not a time such as 2024-01-31T10:00:00");
  if (zoned !== (parts[3] !== undefined)) throw new Unfit(zoned ? "it has no zone" : "it has a zone");
  return (BigInt(day(parts[1])) * 86_400n - BigInt(zone(parts[3] ?? "Z"))) * ticks + clock(parts[2], ticks);
}

function list(value: unknown, size: number): unknown[] {
  if (!Array.isArray(value) && !ArrayBuffer.isView(value)) wrongType(value);
  const items = Array.from(value as unknown[]);
  return size < 0 ? items : exactly(items, size);
}

function entries(of: Type, value: Map<unknown, unknown> | object): object[] {
  const names = of.children[0]![1].children.map(([name]) => name);
  const pairs =
    value instanceof Map ? [...value] : typeof value === "object" ? Object.entries(value) : wrongType(value);
  return pairs.map(([key, item]) => ({ [names[0]!]: key, [names[1]!]: item }));
}

function memberValues(value: object, names: string[]): Record<string, unknown> {
  if (typeof value !== "object" || Array.isArray(value)) wrongType(value);
  const unknown = Object.keys(value).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Unfit(`it has \`${unknown}\`, which the type does not have`);
  return value as Record<string, unknown>;
}

function union(of: Type, values: ArrayLike<unknown>, place: string): Node[] {
  const ids = of.format.slice(4).split(",").map(Number);
  const names = of.children.map(([name]) => name);
  const tags = Array.from(values, (value, at) => {
    if (value == null) return 0;
    const member = names.indexOf((value as Tagged).tag);
    if (member < 0) throw unfit(of, place, at, value, `it is not { tag, value } with a tag of ${names.join(", ")}`);
    return member;
  });
  const children = of.children.flatMap(([name, child], member) =>
    encode(
      child,
      Array.from(values, (value, at) => (value != null && tags[at] === member ? (value as Tagged).value : null)),
      `${place}.${name}`,
    ),
  );
  return [
    node(
      values.length,
      Uint8Array.from(tags, (member) => ids[member]!),
    ),
    ...children,
  ];
}
