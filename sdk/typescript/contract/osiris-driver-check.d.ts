/// <reference path="./osiris-driver-errors.d.ts" />
declare module 'osiris:driver/check@0.2.0' {
  /**
   * Connects and logs in without changing anything; returns the name of the server, such as
   * `PostgreSQL 15.4`. The host measures how long this takes, and the error's kind says what is
   * wrong: `auth`, `denied` (a permission), `transient` (the network), `timeout`.
   */
  export function run(): string;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
}
