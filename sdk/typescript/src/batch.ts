/** A batch of rows, column by column. */

import { decode, nodesOf, NUMBERS, typed, type Node, type Numbers } from "./decode.js";
import { encode } from "./encode.js";
import { dataError, notFoundError } from "./errors.js";
import { fieldsOf, resolve, type Declared, type Type } from "./types.js";

type RawBatch = import("osiris:driver/arrow@0.2.0").Batch;
type RawSchema = import("osiris:driver/arrow@0.2.0").Schema;

interface Column {
  type: Type;
  nodes: readonly Node[];
  values?: unknown[];
}

/**
 * Columns by name. A column is decoded when it is asked for; one that the driver does not touch passes through with its
 * bytes and its type unchanged.
 */
export class Batch {
  #columns = new Map<string, Column>();

  /** `length` is the number of rows. */
  private constructor(readonly length: number) {}

  /** A batch of columns: `Batch.of({ id: [1, 2] }, { id: t.int })`. */
  static of(columns: Record<string, ArrayLike<unknown>>, types: Record<string, Declared>): Batch {
    const batch = new Batch(Object.values(columns)[0]?.length ?? 0);
    for (const [name, type] of Object.entries(types)) batch.set(name, type, columns[name] ?? []);
    return batch;
  }

  /** A batch as the host passed it. */
  static received(columns: readonly [string, Type][], raw: RawBatch): Batch {
    const batch = new Batch(Number(raw.rows));
    let at = 0;
    for (const [name, type] of columns)
      batch.#columns.set(name, { type, nodes: raw.nodes.slice(at, (at += nodesOf(type))) });
    return batch;
  }

  /** A batch of these columns without rows. */
  static empty(columns: readonly (readonly [string, Type])[]): Batch {
    return Batch.of({}, Object.fromEntries(columns));
  }

  /** The columns and their types. */
  get types(): Map<string, Type> {
    return new Map([...this.#columns].map(([name, column]) => [name, column.type]));
  }

  has(name: string): boolean {
    return this.#columns.has(name);
  }

  #column(name: string): Column {
    const column = this.#columns.get(name);
    if (column) return column;
    const known = [...this.#columns.keys()].map((one) => `\`${one}\``).join(", ") || "none";
    throw notFoundError(`the batch has no column \`${name}\`; it has ${known}`);
  }

  /** The values of a column, with `null` for null. */
  get<T = any>(name: string): (T | null)[] {
    const column = this.#column(name);
    column.values ??= decode(column.type, column.nodes, `column \`${name}\``);
    return column.values as (T | null)[];
  }

  /** Replaces the values of a column and keeps its type. */
  replace(name: string, values: ArrayLike<unknown>): void {
    this.set(name, this.#column(name).type, values);
  }

  /** Adds a column at the end, or replaces one, with values of a type. */
  set(name: string, type: Declared, values: ArrayLike<unknown>): void {
    if (values.length !== this.length)
      throw dataError(`column \`${name}\` has ${values.length} values, but the batch has ${this.length} rows`);
    const of = resolve(type);
    this.#columns.set(name, { type: of, nodes: encode(of, values, `column \`${name}\``) });
  }

  delete(name: string): void {
    this.#column(name);
    this.#columns.delete(name);
  }

  /** Gives a column another name; it keeps its place. */
  rename(name: string, to: string): void {
    this.#column(name);
    if (this.has(to)) throw dataError(`the batch has a column \`${to}\` already`);
    this.#columns = new Map([...this.#columns].map(([known, column]) => [known === name ? to : known, column]));
  }

  /** A batch of these columns only, in this order. */
  select(...names: string[]): Batch {
    const chosen = new Batch(this.length);
    for (const name of names) chosen.#columns.set(name, this.#column(name));
    return chosen;
  }

  /** A batch of the rows at these positions, with the same columns and types. */
  take(positions: readonly number[]): Batch {
    const taken = new Batch(positions.length);
    for (const [name, column] of this.#columns) {
      const values = this.get(name);
      taken.set(
        name,
        column.type,
        positions.map((at) => values[at]),
      );
    }
    return taken;
  }

  /**
   * A column of integers or floats as a typed array, and the positions of its nulls, where the array has any number. This
   * is the fastest form; `set` and `replace` take such an array for a column without nulls.
   */
  numbers(name: string): { values: Numbers; nulls: number[] } {
    const { type, nodes } = this.#column(name);
    const kind = NUMBERS[type.format as keyof typeof NUMBERS];
    if (!kind) throw dataError(`column \`${name}\` is of type ${type.duckdb}, which is not a number of fixed width`);
    const [bits, data] = nodes[0]!.buffers as [Uint8Array, Uint8Array];
    const nulls = [];
    if (bits.length) for (let at = 0; at < this.length; at++) if (!((bits[at >> 3]! >> (at & 7)) & 1)) nulls.push(at);
    return { values: typed(kind as typeof Float64Array, data), nulls };
  }

  /** The rows one by one, as objects. */
  *rows(): Generator<Record<string, any>> {
    const columns = [...this.#columns.keys()].map((name) => [name, this.get(name)] as const);
    for (let at = 0; at < this.length; at++)
      yield Object.fromEntries(columns.map(([name, values]) => [name, values[at]]));
  }

  /** The columns as the contract describes them. */
  contractSchema(): RawSchema {
    return { fields: [...this.#columns].flatMap(([name, column]) => fieldsOf(name, column.type)) };
  }

  /** The values as the contract passes them. */
  contractBatch(): RawBatch {
    return { rows: this.length, nodes: [...this.#columns.values()].flatMap((column) => column.nodes) };
  }
}
