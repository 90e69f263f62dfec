/// <reference path="./osiris-driver-errors.d.ts" />
/// <reference path="./osiris-driver-tables.d.ts" />
declare module 'osiris:driver/sql@0.2.0' {
  /**
   * Creates the table `name` in `output` from the rows of `select`; returns the number of rows.
   */
  export function createTable(output: Output, name: string, select: string): bigint;
  /**
   * Runs `select` and reads its rows.
   */
  export function query(select: string, types: Types): Reader;
  /**
   * Runs `select` and reads its rows as JSON records.
   */
  export function queryJson(select: string): JsonReader;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
  export type JsonReader = import('osiris:driver/tables@0.2.0').JsonReader;
  export type Reader = import('osiris:driver/tables@0.2.0').Reader;
  export type Output = import('osiris:driver/tables@0.2.0').Output;
  export type Types = import('osiris:driver/tables@0.2.0').Types;
}
