/** Turns the buffers of a column into JavaScript values. */

import { dataError } from "./errors.js";
import { extensionOf, type Tagged, type Type } from "./types.js";
import { fromLatin1, isAscii, latin1 } from "./utf8.js";

export type Node = import("osiris:driver/arrow@0.2.0").Node;

/** The typed arrays of Arrow's fixed-width numbers. */
export const NUMBERS = {
  c: Int8Array,
  C: Uint8Array,
  s: Int16Array,
  S: Uint16Array,
  i: Int32Array,
  I: Uint32Array,
  l: BigInt64Array,
  L: BigUint64Array,
  f: Float32Array,
  g: Float64Array,
} as const;
export type Numbers = InstanceType<(typeof NUMBERS)[keyof typeof NUMBERS]>;

/** Ticks in a second. */
export const TICKS: Record<string, bigint> = { s: 1n, m: 1_000n, u: 1_000_000n, n: 1_000_000_000n };
/** DuckDB counts a TIMETZ's offset down from 15:59:59. */
export const LARGEST_OFFSET = 57_599;

/** The number of nodes of a column of this type: its own and its children's. */
export function nodesOf(of: Type): number {
  return of.children.reduce((sum, [, child]) => sum + nodesOf(child), 1);
}

/** A buffer as a typed array: a copy if it is not aligned. */
export function typed<A>(
  kind: { new (buffer: ArrayBufferLike, offset?: number, length?: number): A; BYTES_PER_ELEMENT: number },
  bytes: Uint8Array,
): A {
  const size = kind.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new kind(aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / size));
}

/** A BIGINT as a number, or as a bigint if a number would round it. */
export function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** The values of a column, whose nodes start at the first of `nodes`. */
export function decode(of: Type, nodes: readonly Node[], place: string): unknown[] {
  let at = 0;
  const one = (kind: Type, where: string): unknown[] => {
    const node = nodes[at++]!;
    const children = kind.children.map(([name, child]) => one(child, `${where}.${name}`));
    return values(kind, node, children, where);
  };
  return one(of, place);
}

function values(of: Type, node: Node, children: unknown[][], place: string): unknown[] {
  const { format } = of;
  const length = Number(node.length);
  if (format === "n") return new Array(length).fill(null);
  if (format.startsWith("+us:")) return union(of, node, children);
  const bits = node.buffers[0]!;
  const get = reader(of, node, children, place);
  const found = new Array<unknown>(length);
  if (bits.length === 0) for (let at = 0; at < length; at++) found[at] = get(at);
  else for (let at = 0; at < length; at++) found[at] = (bits[at >> 3]! >> (at & 7)) & 1 ? get(at) : null;
  return found;
}

/** A function from a position to the value there, which is not null. */
function reader(of: Type, node: Node, children: unknown[][], place: string): (at: number) => unknown {
  const { format } = of;
  const extension = extensionOf(of);
  const data = node.buffers[1] ?? new Uint8Array();
  if (extension === "arrow.bool8") return (at) => data[at] !== 0;
  if (format === "b") return (at) => ((data[at >> 3]! >> (at & 7)) & 1) === 1;
  if (format === "l") return int64(data);
  if (format === "L") {
    const numbers = typed(BigUint64Array, data);
    return (at) => integer(numbers[at]!);
  }
  if (format in NUMBERS) {
    const numbers = typed(NUMBERS[format as "g"], data);
    return (at) => numbers[at];
  }
  if (["u", "U", "z", "Z"].includes(format))
    return variable(format, extension, data, node.buffers[2] ?? new Uint8Array());
  if (format.startsWith("w:")) {
    const width = Number(format.slice(2));
    const convert = FIXED[extension] ?? ((raw: Uint8Array) => raw.slice());
    return (at) => convert(data.subarray(at * width, (at + 1) * width));
  }
  if (format.startsWith("d:")) {
    const scale = Number(format.split(",")[1]);
    return (at) => decimalText(wide(data.subarray(at * 16, at * 16 + 16), true), scale);
  }
  if (format === "+l" || format === "+m") {
    const offsets = typed(Int32Array, data);
    const pick = (at: number) => children[0]!.slice(offsets[at], offsets[at + 1]);
    return format === "+l"
      ? pick
      : (at) => new Map(pick(at).map((entry) => Object.values(entry as object) as [unknown, unknown]));
  }
  if (format.startsWith("+w:")) {
    const size = Number(format.slice(3));
    return (at) => children[0]!.slice(at * size, (at + 1) * size);
  }
  if (format === "+s")
    return (at) => Object.fromEntries(of.children.map(([name], child) => [name, children[child]![at]]));
  if (format.startsWith("t")) return times(format, data, place);
  throw dataError(`${place} has Arrow's format \`${format}\`, which cannot be turned into JavaScript values`);
}

/** BIGINTs, made of halves where a number keeps all digits: a `bigint` for each of them would take several times as long. */
function int64(data: Uint8Array): (at: number) => number | bigint {
  const halves = typed(Int32Array, data);
  const wholes = typed(BigInt64Array, data);
  return (at) => {
    const high = halves[2 * at + 1]!;
    if (high > -0x200000 && high < 0x200000) return high * 0x1_0000_0000 + (halves[2 * at]! >>> 0);
    return integer(wholes[at]!);
  };
}

function variable(format: string, extension: string, data: Uint8Array, bytes: Uint8Array): (at: number) => unknown {
  const offsets =
    format === "u" || format === "z" ? typed(Int32Array, data) : Array.from(typed(BigInt64Array, data), Number);
  if (format === "u" || format === "U") {
    const whole = latin1(bytes);
    if (isAscii(whole)) return (at) => whole.slice(offsets[at], offsets[at + 1]);
    return (at) => fromLatin1(whole.slice(offsets[at], offsets[at + 1]));
  }
  const convert = extension === "bit" ? bitText : extension === "bignum" ? bignum : (raw: Uint8Array) => raw.slice();
  return (at) => convert(bytes.subarray(offsets[at], offsets[at + 1]));
}

/** A little-endian integer of any width. */
function wide(bytes: Uint8Array, signed: boolean): bigint {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at--) value = (value << 8n) | BigInt(bytes[at]!);
  return signed ? BigInt.asIntN(bytes.length * 8, value) : value;
}

/** A decimal as text: JavaScript has no type for it. */
export function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? "-" : "";
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0");
  return scale ? `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}` : sign + digits;
}

function bitText(raw: Uint8Array): string {
  return Array.from(raw.subarray(1), (byte) => byte.toString(2).padStart(8, "0"))
    .join("")
    .slice(raw[0]);
}

function bignum(raw: Uint8Array): number | bigint {
  const negative = (raw[0]! & 0x80) === 0;
  let value = 0n;
  for (const byte of raw.subarray(3)) value = (value << 8n) | BigInt(negative ? byte ^ 0xff : byte);
  return integer(negative ? -value : value);
}

const FIXED: Record<string, (raw: Uint8Array) => unknown> = {
  "arrow.uuid": (raw) =>
    Array.from(raw, (byte) => byte.toString(16).padStart(2, "0"))
      .join("")
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-"),
  hugeint: (raw) => integer(wide(raw, true)),
  uhugeint: (raw) => integer(wide(raw, false)),
  time_tz(raw) {
    const bits = wide(raw, false);
    const offset = LARGEST_OFFSET - Number(bits & 0xffffffn);
    const minutes = Math.floor(Math.abs(offset) / 60);
    const seconds = Math.abs(offset) % 60;
    const sign = offset < 0 ? "-" : "+";
    return `${clock(bits >> 24n, 1_000_000n)}${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}${seconds ? `:${two(seconds)}` : ""}`;
  },
};

const two = (value: number | bigint) => String(value).padStart(2, "0");

/** A time of day: with a fraction only if it has one. */
function clock(ticks: bigint, perSecond: bigint): string {
  const seconds = ticks / perSecond;
  const rest = ticks % perSecond;
  const fraction = rest ? `.${String(rest).padStart(String(perSecond).length - 1, "0")}` : "";
  return `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}${fraction}`;
}

/** A day as text. `Date` knows the calendar of more years than DuckDB has in use. */
function day(days: number): string {
  const date = new Date(days * 86_400_000);
  if (Number.isNaN(date.getTime())) return `${days} days`;
  const year = date.getUTCFullYear();
  const text =
    year < 0
      ? `-${String(-year).padStart(6, "0")}`
      : year > 9999
        ? `+${String(year).padStart(6, "0")}`
        : String(year).padStart(4, "0");
  return `${text}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
}

function times(format: string, data: Uint8Array, place: string): (at: number) => unknown {
  if (format === "tdD") {
    const days = typed(Int32Array, data);
    return (at) => (Math.abs(days[at]!) === 2 ** 31 - 1 ? (days[at]! < 0 ? "-infinity" : "infinity") : day(days[at]!));
  }
  if (format === "tin") {
    return (at) => {
      const view = new DataView(data.buffer, data.byteOffset + at * 16, 16);
      return {
        months: view.getInt32(0, true),
        days: view.getInt32(4, true),
        nanoseconds: integer(view.getBigInt64(8, true)),
      };
    };
  }
  const ticks = TICKS[format[2]!];
  if (ticks === undefined || !/^t[st]/.test(format))
    throw dataError(`${place} has Arrow's format \`${format}\`, which cannot be turned into JavaScript values`);
  const numbers =
    format.startsWith("tt") && "sm".includes(format[2]!)
      ? Array.from(typed(Int32Array, data), BigInt)
      : typed(BigInt64Array, data);
  if (format.startsWith("tt")) return (at) => clock(numbers[at]!, ticks);
  const zone = format.length > 4 ? "Z" : "";
  const perDay = 86_400n * ticks;
  return (at) => {
    const value = numbers[at]!;
    if (value === 2n ** 63n - 1n) return "infinity";
    if (value === -(2n ** 63n) + 1n) return "-infinity";
    const rest = ((value % perDay) + perDay) % perDay;
    return `${day(Number((value - rest) / perDay))}T${clock(rest, ticks)}${zone}`;
  };
}

function union(of: Type, node: Node, children: unknown[][]): Tagged[] {
  const ids = of.format.slice(4).split(",").map(Number);
  return Array.from(node.buffers[0]!, (id, at) => {
    const member = ids.indexOf(id);
    return { tag: of.children[member]![0], value: children[member]![at] };
  });
}
