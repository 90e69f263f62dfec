/// <reference path="./osiris-driver-errors.d.ts" />
declare module 'osiris:driver/files@0.2.0' {
  /**
   * The files that a granted path stands for: currently the path itself. Fails as `open` does.
   */
  export function list(path: string): Array<string>;
  /**
   * Opens a granted file for reading. `path` must be written as in the config. Fails with
   * `denied` for a path that was not granted, and with `not-found` for one that does not exist.
   */
  export function open(path: string): Source;
  /**
   * Opens a granted file for writing. The file is written next to its target and replaces the
   * target only when the whole step has succeeded; until then, and after a failure, the target
   * is unchanged.
   */
  export function create(path: string): Target;
  /**
   * Creates an empty temporary file, for bytes that the driver produces and DuckDB's readers
   * then read, such as the content of a file in another encoding or compression. No other step
   * can read it. It is deleted when its handle is dropped, at the latest when the step ends.
   */
  export function createTemporary(): Temporary;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
  /**
   * How the rows of a SELECT are written to a file.
   * # Variants
   * 
   * ## `"csv"`
   * 
   * ## `"parquet"`
   * 
   * ## `"json"`
   */
  export type Format = 'csv' | 'parquet' | 'json';
  
  export class Source implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * The file as a string literal for DuckDB's own readers: `from read_csv({sql-literal})`.
    */
    sqlLiteral(): string;
    /**
    * The size in bytes.
    */
    size(): bigint;
    /**
    * Reads up to `length` bytes (at most 8 MiB) from `offset`; returns an empty list at the
    * end.
    */
    read(offset: bigint, length: number): Uint8Array;
    [Symbol.dispose](): void;
  }
  
  export class Target implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * Writes the rows of one SELECT with DuckDB's own writer; returns the number of rows. The
    * options are those of DuckDB's COPY for the format, such as (`delimiter`, `;`).
    */
    copy(select: string, format: Format, options: Array<[string, string]>): bigint;
    /**
    * Appends bytes.
    */
    write(bytes: Uint8Array): void;
    [Symbol.dispose](): void;
  }
  
  export class Temporary implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * Appends bytes (keep a call below 64 MiB). Fails with `limit` (`disk`) if the step's
    * temporary files together would exceed the step's spill limit, and with `internal` after
    * `sql-literal`.
    */
    write(bytes: Uint8Array): void;
    /**
    * The file as a string literal for DuckDB's own readers, such as `read_csv`. The file
    * cannot be written afterwards. Queries that use the literal must have ended before the
    * handle is dropped.
    */
    sqlLiteral(): string;
    [Symbol.dispose](): void;
  }
}
