/// <reference path="./osiris-driver-arrow.d.ts" />
/// <reference path="./osiris-driver-errors.d.ts" />
declare module 'osiris:driver/tables@0.2.0' {
  export type Error = import('osiris:driver/errors@0.2.0').Error;
  export type Schema = import('osiris:driver/arrow@0.2.0').Schema;
  export type Batch = import('osiris:driver/arrow@0.2.0').Batch;
  /**
   * The types of a reader's columns.
   * # Variants
   * 
   * ## `"exact"`
   * 
   * DuckDB's own types, so that a column can be written back unchanged.
   * ## `"plain"`
   * 
   * Types that every language has; others become text (see `arrow`).
   */
  export type Types = 'exact' | 'plain';
  /**
   * A column of a table of JSON records with a declared type.
   */
  export interface Column {
    /**
     * The name of the member.
     */
    name: string,
    /**
     * The DuckDB type, such as `DECIMAL(18,2)` or `TIMESTAMPTZ`.
     */
    duckdbType: string,
  }
  
  export class Input implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * The name that the pipeline gives this input; by default the id of the step that wrote
    * it.
    */
    alias(): string;
    /**
    * The input's name inside SQL, quoted: write `select * from {sql-name}`.
    */
    sqlName(): string;
    /**
    * The number of rows.
    */
    rows(): bigint;
    /**
    * The input's columns. Fails with `data` if a column has a type that cannot be passed as
    * Arrow; the message names the column and the type. SQL can still use and cast that
    * column.
    */
    schema(types: Types): Schema;
    /**
    * Starts reading the given columns in the given order, or all columns for an empty list.
    * Fails with `not-found` for a column that does not exist; the message names the columns
    * that do.
    */
    read(columns: Array<string>, types: Types): Reader;
    /**
    * Starts reading the same columns as JSON records.
    */
    readJson(columns: Array<string>): JsonReader;
    [Symbol.dispose](): void;
  }
  
  export class JsonReader implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * The next records, each an object followed by a line feed, or `none` after the last, which
    * closes the reader. The host chooses how many records a text has.
    */
    next(): string | undefined;
    [Symbol.dispose](): void;
  }
  
  export class JsonWriter implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * Appends records: JSON objects or arrays of them, separated by white space. Keep a call below
    * 64 MiB. Fails with `data` for any other text, and for a record with two members of the same
    * name; the message names the record, and the table is lost.
    */
    append(records: string): void;
    /**
    * Decides the types, writes the table and returns its number of rows. Fails with `data` if a
    * value does not fit its declared type; the message names the record and the member. If a
    * created table is dropped without this, the step fails.
    */
    finish(): bigint;
    [Symbol.dispose](): void;
  }
  
  export class Output implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * Creates a table and opens it for writing. Name it `main` unless the step has several
    * outputs. A table without rows is stored with its columns. If several instances work in
    * parallel, each creates the table with the same columns and writes its own part.
    */
    createTable(name: string, schema: Schema): TableWriter;
    /**
    * Creates a table of JSON records, with a column for each member that a record has. The type
    * of a column is decided over all records when the table is finished, so that every value
    * survives: integers are BIGINT, or DECIMAL(38,0) if they need it; numbers with a fraction
    * are DOUBLE, or DECIMAL if a digit would be lost; texts stay VARCHAR; an object is a STRUCT,
    * an array a list; values of several types are VARCHAR, or JSON if one is an object or an
    * array. `columns` declares types instead, and puts those columns first, in that order; a text
    * without a character becomes null if its column is declared as anything but VARCHAR, which the
    * host logs as a warning. A table of JSON records cannot be shared by several instances.
    */
    createJsonTable(name: string, columns: Array<Column>): JsonWriter;
    [Symbol.dispose](): void;
  }
  
  export class Reader implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * The schema of every batch that follows.
    */
    schema(): Schema;
    /**
    * The next batch, or `none` after the last, which closes the reader: it no longer counts
    * against the step's limit of readers. A batch has at least one row and is bounded in rows
    * and bytes; the host chooses its size.
    */
    next(): Batch | undefined;
    [Symbol.dispose](): void;
  }
  
  export class TableWriter implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * Appends rows; the batch must have the schema that the table was created with. The host
    * checks all of it (lengths, offsets, UTF-8, counts) and refuses a malformed batch with
    * `data`; no row of a refused batch is stored. Keep a batch below 64 MiB; it may contain
    * 134,217,728 values, in all its nodes together.
    */
    append(batch: Batch): void;
    /**
    * Ends the table and returns its number of rows. If a created table is dropped without
    * this, the step fails, so that an incomplete table is never taken for a complete one.
    */
    finish(): bigint;
    [Symbol.dispose](): void;
  }
}
