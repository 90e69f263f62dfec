/**
 * The types of columns: how a driver declares them, and what they are in Arrow and in DuckDB.
 *
 * | declared | DuckDB | value in JavaScript |
 * |---|---|---|
 * | `t.bool`, `t.string`, `t.bytes` | BOOLEAN, VARCHAR, BLOB | `boolean`, `string`, `Uint8Array` |
 * | `t.int` (`t.int8` to `t.int64`, `t.uint8` to `t.uint64`) | BIGINT (TINYINT to UBIGINT) | `number`, or `bigint` beyond 2^53 |
 * | `t.hugeint`, `t.uhugeint`, `t.bignum` | HUGEINT, UHUGEINT, BIGNUM | the same |
 * | `t.float`, `t.float32` | DOUBLE, FLOAT | `number` |
 * | `t.decimal(18, 2)` | DECIMAL(18,2) | `string`, such as `"1.50"` |
 * | `t.date`, `t.time`, `t.timeNs`, `t.timeTz` | DATE, TIME, TIME_NS, TIMETZ | `string`: `"2024-01-31"`, `"10:00:00.000001"`, `"10:00:00+02:00"` |
 * | `t.timestamp` (`t.timestampS`, `Ms`, `Ns`) | TIMESTAMP, … | `string`: `"2024-01-31T10:00:00.123456"` |
 * | `t.instant` | TIMESTAMPTZ | `string`: `"2024-01-31T10:00:00.123456Z"`; a `Date` when written |
 * | `t.interval` | INTERVAL | `Interval` |
 * | `t.uuid`, `t.json`, `t.bit` | UUID, JSON, BIT | `string` |
 * | `t.list(t.int)`, `t.array(t.int, 3)` | T[], T[3] | array |
 * | `t.struct({ a: t.int })`, `t.map(t.string, t.int)` | STRUCT, MAP | object, `Map` |
 * | `t.union({ n: t.int, s: t.string })` | UNION | `Tagged` |
 *
 * `null` is null in all of them. A date or a time is text because a `Date` has only milliseconds.
 */

type Field = import("osiris:driver/arrow@0.2.0").Field;

/** A DuckDB INTERVAL, whose months and days have no fixed length. */
export interface Interval {
  months: number;
  days: number;
  nanoseconds: number | bigint;
}

/** The value of a UNION, and the name of its member. */
export interface Tagged {
  tag: string;
  value: unknown;
}

/** A column's type: Arrow's format with its children and metadata, and the name in DuckDB. */
export interface Type {
  readonly format: string;
  readonly duckdb: string;
  readonly children: readonly (readonly [string, Type])[];
  readonly metadata: readonly (readonly [string, string])[];
}

/** A type, or the name of a DuckDB type. */
export type Declared = Type | string;

const NAME = "ARROW:extension:name";
const DETAILS = "ARROW:extension:metadata";

function type(format: string, duckdb: string, children: Type["children"] = [], metadata: Type["metadata"] = []): Type {
  return { format, duckdb, children, metadata };
}

const named = (format: string, duckdb: string, extension: string) => type(format, duckdb, [], [[NAME, extension]]);
const opaque = (format: string, duckdb: string, own: string) =>
  type(
    format,
    duckdb,
    [],
    [
      [NAME, "arrow.opaque"],
      [DETAILS, `{"type_name":"${own}","vendor_name":"DuckDB"}`],
    ],
  );
const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
const members = (of: Type["children"]) => of.map(([name, inner]) => `${quoted(name)} ${inner.duckdb}`).join(", ");
const resolved = (of: Record<string, Declared>) =>
  Object.entries(of).map(([name, inner]) => [name, resolve(inner)] as const);

const struct = (of: Record<string, Declared>): Type => {
  const children = resolved(of);
  return type("+s", `STRUCT(${members(children)})`, children);
};

/** The types that a driver can declare. */
export const t = {
  bool: named("c", "BOOLEAN", "arrow.bool8"),
  int8: type("c", "TINYINT"),
  int16: type("s", "SMALLINT"),
  int32: type("i", "INTEGER"),
  int64: type("l", "BIGINT"),
  int: type("l", "BIGINT"),
  uint8: type("C", "UTINYINT"),
  uint16: type("S", "USMALLINT"),
  uint32: type("I", "UINTEGER"),
  uint64: type("L", "UBIGINT"),
  hugeint: opaque("w:16", "HUGEINT", "hugeint"),
  uhugeint: opaque("w:16", "UHUGEINT", "uhugeint"),
  bignum: opaque("z", "BIGNUM", "bignum"),
  float: type("g", "DOUBLE"),
  float32: type("f", "FLOAT"),
  string: type("u", "VARCHAR"),
  bytes: type("z", "BLOB"),
  bit: opaque("z", "BIT", "bit"),
  uuid: named("w:16", "UUID", "arrow.uuid"),
  json: named("u", "JSON", "arrow.json"),
  date: type("tdD", "DATE"),
  time: type("ttu", "TIME"),
  timeNs: type("ttn", "TIME_NS"),
  timeTz: opaque("w:8", "TIMETZ", "time_tz"),
  timestamp: type("tsu:", "TIMESTAMP"),
  timestampS: type("tss:", "TIMESTAMP_S"),
  timestampMs: type("tsm:", "TIMESTAMP_MS"),
  timestampNs: type("tsn:", "TIMESTAMP_NS"),
  instant: type("tsu:UTC", "TIMESTAMPTZ"),
  interval: type("tin", "INTERVAL"),
  /** A decimal number of `precision` digits (at most 38), `scale` of them behind the point. */
  decimal(precision: number, scale: number): Type {
    if (!(precision >= 1 && precision <= 38 && scale >= 0 && scale <= precision))
      throw new TypeError(`decimal(${precision},${scale}) does not exist`);
    return type(`d:${precision},${scale}`, `DECIMAL(${precision},${scale})`);
  },
  /** A list of any length. */
  list(item: Declared): Type {
    const of = resolve(item);
    return type("+l", `${of.duckdb}[]`, [["l", of]]);
  },
  /** A list whose length is always `length`. */
  array(item: Declared, length: number): Type {
    const of = resolve(item);
    return type(`+w:${length}`, `${of.duckdb}[${length}]`, [["l", of]]);
  },
  /** An object with named members. */
  struct,
  map(key: Declared, value: Declared): Type {
    const entries = struct({ key, value });
    return type("+m", `MAP(${entries.children.map(([, of]) => of.duckdb).join(", ")})`, [["entries", entries]]);
  },
  /** A value of one of several types, each with a name. */
  union(of: Record<string, Declared>): Type {
    const children = resolved(of);
    return type(`+us:${children.map((_, at) => at).join(",")}`, `UNION(${members(children)})`, children);
  },
} as const;

const SIMPLE: readonly Type[] = Object.values(t).filter((one): one is Type => typeof one === "object");
const OWN = ["uhugeint", "hugeint", "time_tz", "bignum", "bit"];

/** The type that Arrow does not have: `arrow.uuid`, or DuckDB's name of an `arrow.opaque` type; or empty. */
export function extensionOf(of: Pick<Type, "metadata">): string {
  const details = new Map(of.metadata);
  const name = details.get(NAME) ?? "";
  return name === "arrow.opaque" ? (OWN.find((own) => details.get(DETAILS)?.includes(`"${own}"`)) ?? name) : name;
}

/**
 * The type that a driver declared. A name of a DuckDB type that this package does not know can only be used for tables
 * of JSON rows, where DuckDB reads it.
 */
export function resolve(declared: Declared): Type {
  return typeof declared === "string" ? byName(declared.trim()) : declared;
}

function byName(name: string): Type {
  const known = SIMPLE.find((one) => one.duckdb === name.toUpperCase());
  if (known) return known;
  const suffix = /^(.*)\[(\d*)\]$/s.exec(name);
  if (suffix) {
    const item = byName(suffix[1]!.trim());
    if (item.format) return suffix[2] ? t.array(item, Number(suffix[2])) : t.list(item);
  }
  const inside = /^(\w+)\s*\((.*)\)$/s.exec(name);
  if (inside) {
    const parts = split(inside[2]!).map((part) => part.trim());
    const outer = inside[1]!.toUpperCase();
    if (["DECIMAL", "NUMERIC"].includes(outer) && parts.every((part) => /^\d+$/.test(part)))
      return t.decimal(Number(parts[0]), Number(parts[1] ?? 0));
    if (outer === "MAP" && parts.length === 2) return t.map(parts[0]!, parts[1]!);
    if (outer === "STRUCT" || outer === "UNION")
      return t[outer === "STRUCT" ? "struct" : "union"](Object.fromEntries(parts.map(member)));
  }
  return type("", name);
}

/** The parts of a text between commas that are in no quotes and no brackets. */
function split(text: string): string[] {
  const parts = [""];
  let depth = 0;
  let inQuotes = false;
  for (const letter of text) {
    if (letter === '"') inQuotes = !inQuotes;
    else if (!inQuotes) depth += "([".includes(letter) ? 1 : ")]".includes(letter) ? -1 : 0;
    if (letter === "," && depth === 0 && !inQuotes) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts;
}

function member(text: string): [string, string] {
  const found = /^(?:"((?:[^"]|"")*)"|(\w+))\s+(.*)$/s.exec(text);
  if (!found) throw new TypeError(`\`${text}\` is not a member of a struct`);
  return [found[1]?.replaceAll('""', '"') ?? found[2]!, found[3]!];
}

/** The contract's fields of a column, in pre-order. Arrow requires that a map's entries and keys are never null. */
export function fieldsOf(name: string, of: Type, nullable = true): Field[] {
  const own = {
    name,
    format: of.format,
    nullable,
    children: of.children.length,
    metadata: of.metadata.map(([key, value]): [string, string] => [key, value]),
  };
  return [
    own,
    ...of.children.flatMap(([child, inner], at) =>
      fieldsOf(child, inner, of.format !== "+m" && !(name === "entries" && child === "key" && at === 0)),
    ),
  ];
}

/** The columns of a contract schema: names and types. */
export function columnsOf(fields: readonly Field[]): [string, Type][] {
  let at = 0;
  const one = (): [string, Type] => {
    const field = fields[at++]!;
    const children = Array.from({ length: field.children }, one);
    return [
      field.name,
      type(field.format, duckdbName(field.format, children, field.metadata), children, field.metadata),
    ];
  };
  const columns = [];
  while (at < fields.length) columns.push(one());
  return columns;
}

function duckdbName(
  format: string,
  children: [string, Type][],
  metadata: readonly (readonly [string, string])[],
): string {
  const own = new Map(metadata).get("osiris.duckdb_type");
  if (own) return own;
  const extension = extensionOf({ metadata });
  const known = SIMPLE.find((one) =>
    extension ? extensionOf(one) === extension : one.format === format && !one.metadata.length,
  );
  if (known) return known.duckdb;
  if (format === "b") return "BOOLEAN";
  if (format.startsWith("d:")) return `DECIMAL(${format.slice(2).split(",").slice(0, 2).join(",")})`;
  if (format.startsWith("ts")) return "TIMESTAMPTZ";
  if (format === "+l") return `${children[0]![1].duckdb}[]`;
  if (format.startsWith("+w:")) return `${children[0]![1].duckdb}[${format.slice(3)}]`;
  if (format === "+s") return `STRUCT(${members(children)})`;
  if (format === "+m") return `MAP(${children[0]![1].children.map(([, inner]) => inner.duckdb).join(", ")})`;
  return format.startsWith("+us:") ? `UNION(${members(children)})` : format;
}

/** Whether two types are the same. */
export function same(one: Type, other: Type): boolean {
  return (
    JSON.stringify([one.format, one.children, one.metadata]) ===
    JSON.stringify([other.format, other.children, other.metadata])
  );
}
