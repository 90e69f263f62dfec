/// <reference path="./osiris-driver-catalog.d.ts" />
/// <reference path="./osiris-driver-errors.d.ts" />
declare module 'osiris:driver/discover@0.2.0' {
  /**
   * The tables that the connection in the config can access, in any order.
   */
  export function run(): Array<Table>;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
  export type Table = import('osiris:driver/catalog@0.2.0').Table;
}
