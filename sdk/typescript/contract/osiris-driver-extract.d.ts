/// <reference path="./osiris-driver-errors.d.ts" />
/// <reference path="./osiris-driver-tables.d.ts" />
declare module 'osiris:driver/extract@0.2.0' {
  /**
   * Fills `output`. Called once for each step.
   */
  export function run(output: Output): void;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
  export type Output = import('osiris:driver/tables@0.2.0').Output;
}
