/// <reference path="./osiris-driver-errors.d.ts" />
/// <reference path="./osiris-driver-tables.d.ts" />
declare module 'osiris:driver/load@0.2.0' {
  /**
   * Delivers `inputs`, which are in the pipeline's order. Called once for each step.
   */
  export function run(inputs: Array<Input>): void;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
  export type Input = import('osiris:driver/tables@0.2.0').Input;
}
