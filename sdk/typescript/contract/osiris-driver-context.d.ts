/// <reference path="./osiris-driver-errors.d.ts" />
declare module 'osiris:driver/context@0.2.0' {
  /**
   * The id of the step in the pipeline, such as `extract-flights`.
   */
  export function stepId(): string;
  /**
   * The step's configuration as a JSON object. It has been checked against the spec's
   * `configSchema`, the schema's defaults are filled in, and parameters, environment variables
   * and connection references are resolved. It does not contain secrets: see `secrets`.
   */
  export function config(): string;
  /**
   * The part of the step's work that this instance of the driver does, if the host runs several
   * in parallel into one output (the spec's `instances`); otherwise part 0 of 1.
   */
  export function partition(): Part;
  /**
   * The number of this attempt of the step, counted from 1.
   */
  export function attempt(): number;
  /**
   * Rejects one row that cannot be understood or delivered, so that the step can go on without losing
   * it. `row` is the row as JSON (at most 16 MiB): an object of its columns, or a text if it cannot be
   * parsed. `reason` (at most 64 KiB) says what is wrong with it, in the form of an error's message.
   * The host stores both, with any secrets in them, in the columns `record` and `reason` of the step's
   * table `rejected`, which a writer's step has too.
   * 
   * The pipeline's author decides how many rows a step may reject (`rejects`), by default none. Fails
   * with `data` for a row beyond that, and with `internal` if `row` is not JSON or too large. The step
   * fails then in any case, so return the error.
   */
  export function reject(row: string, reason: string): void;
  /**
   * Writes a structured line to the session's log. `fields` are names and values, in any order.
   */
  export function log(level: Level, message: string, fields: Array<[string, string]>): void;
  /**
   * Records a number under `name`, such as `requests_sent`, in the session's metrics. The host
   * counts rows itself (`rows_read`, `rows_processed`, `rows_written`, `rows_rejected`). Those names are
   * reserved; a driver's value for one of them is recorded under `driver_<name>`.
   */
  export function metric(name: string, value: number): void;
  /**
   * Reports progress: `done` of `total` units (rows, if the driver has no better unit), shown to
   * the user as a bar. Call it as often as convenient; the host limits the rate.
   */
  export function progress(done: bigint, total: bigint | undefined): void;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
  /**
   * # Variants
   * 
   * ## `"trace"`
   * 
   * ## `"debug"`
   * 
   * ## `"info"`
   * 
   * ## `"warn"`
   * 
   * ## `"error"`
   */
  export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';
  export interface Part {
    /**
     * Counted from 0.
     */
    index: number,
    count: number,
  }
}
