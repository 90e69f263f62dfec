/** Turns a function into a driver's export: `extractor`, `processor`, `writer`, and `discover` and `check` beside them. */

import { log } from "./context.js";
import { internalError, OsirisError, refusalOf, toContract } from "./errors.js";
import { host } from "./host.js";
import { seedRandom } from "./random.js";
import { dropAll } from "./resources.js";
import { Input, Inputs, Output } from "./tables.js";

type RawInput = import("osiris:driver/tables@0.2.0").Input;
type RawOutput = import("osiris:driver/tables@0.2.0").Output;
type Maybe<T> = T | Promise<T>;

/** A table that `discover` found. */
export interface CatalogTable {
  name: string;
  schema?: string;
  columns: { name: string; sourceType: string; duckdbType: string; nullable?: boolean }[];
  primaryKey?: string[];
  estimatedRows?: number;
}

/** The step's config: a JSON object that the host has checked against the driver's schema, with its defaults. */
export type Config = Record<string, any>;

/** Reads rows from outside into `output`: `export const extract = extractor((config, output) => { … })`. */
export function extractor<C = Config>(run: (config: C, output: Output) => Maybe<void>) {
  return { kind: "extract" as const, run: (raw: RawOutput) => finishing(raw, (output) => run(config<C>(), output)) };
}

/** Transforms the rows of `inputs`: `export const transform = processor((config, inputs, output) => { … })`. */
export function processor<C = Config>(run: (config: C, inputs: Inputs, output: Output) => Maybe<void>) {
  return {
    kind: "transform" as const,
    run: (raws: RawInput[], raw: RawOutput) =>
      finishing(raw, (output) => run(config<C>(), inputsOf(raws), output), raws),
  };
}

/** Delivers the rows of `inputs` to the outside: `export const load = writer((config, inputs) => { … })`. */
export function writer<C = Config>(run: (config: C, inputs: Inputs) => Maybe<void>) {
  return { kind: "load" as const, run: (raws: RawInput[]) => guarded(() => run(config<C>(), inputsOf(raws)), raws) };
}

/** Connects without changing anything and returns the server's name: `export const check = checks((config) => "Server 1.2")`. */
export function checks<C = Config>(run: (config: C) => Maybe<string>) {
  return { kind: "check" as const, run: () => guarded(() => run(config<C>())) };
}

/** Lists the tables of the connection: `export const discover = discovers((config) => [ … ])`. */
export function discovers<C = Config>(run: (config: C) => CatalogTable[]) {
  const complete = (table: CatalogTable) => ({
    schema: table.schema,
    name: table.name,
    primaryKey: table.primaryKey ?? [],
    estimatedRows: table.estimatedRows,
    columns: table.columns.map((column) => ({ nullable: true, ...column })),
  });
  return { kind: "discover" as const, run: () => guarded(() => run(config<C>()).map(complete)) };
}

function config<C>(): C {
  return JSON.parse(host().context.config()) as C;
}

/** An array of one number would be taken for a length. */
function inputsOf(raws: RawInput[]): Inputs {
  const inputs = new Inputs();
  inputs.push(...raws.map((raw) => new Input(raw)));
  return inputs;
}

function finishing(raw: RawOutput, run: (output: Output) => Maybe<void>, inputs: RawInput[] = []): Maybe<void> {
  return guarded(() => {
    const output = new Output(raw);
    const done = run(output);
    return done instanceof Promise ? done.then(() => output.finish()) : output.finish();
  }, [...inputs, raw]);
}

/** Runs the driver; everything that it throws becomes an error of the contract. */
function guarded<T>(run: () => Maybe<T>, resources: object[] = []): Maybe<T> {
  const end = () => {
    dropAll();
    for (const resource of resources) (resource as Partial<Disposable>)[Symbol.dispose]?.();
  };
  const fail = (thrown: unknown): never => {
    end();
    throw toContract(described(thrown));
  };
  const { randomBytes } = host();
  if (randomBytes) seedRandom(randomBytes(16));
  try {
    const done = run();
    if (done instanceof Promise) return done.then((value) => (end(), value), fail);
    end();
    return done;
  } catch (thrown) {
    return fail(thrown);
  }
}

/** The error itself if the driver threw one of ours, or else an `internal` one that says where it happened. */
export function described(thrown: unknown): OsirisError {
  if (thrown instanceof OsirisError) return thrown;
  const refusal = refusalOf(thrown);
  if (refusal) return refusal;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  log.error(`${error.name}: ${error.message}\n${error.stack ?? ""}`.trimEnd());
  return internalError(`${error.name}${error.message ? `: ${error.message}` : ""}${place(error.stack ?? "")}`);
}

/** For each line of the built script the driver's own file and line; the build appends it to the script. */
type Places = (readonly [file: string, line: number] | null)[];

/** The first place in a stack trace, as file and line. */
function place(stack: string): string {
  for (const line of stack.split("\n")) {
    const found = /([^\s/()]+\.[cm]?[jt]s):(\d+):(\d+)\)?$/.exec(line);
    if (!found) continue;
    const places = (globalThis as { osirisPlaces?: Places }).osirisPlaces;
    if (!places) return ` (${found[1]!.split("/").pop()}:${found[2]})`;
    const own = places[Number(found[2]) - 1];
    if (own) return ` (${own[0]}:${own[1]})`;
  }
  return "";
}
