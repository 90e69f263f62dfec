/// <reference path="./osiris-driver-errors.d.ts" />
declare module 'osiris:driver/state@0.2.0' {
  /**
   * The JSON value that the last run stored; `none` in the first run.
   */
  export function get(): string | undefined;
  /**
   * Stores a JSON value (at most 1 MiB) for the next run; the last call counts. It is stored
   * only once this step and every step that needs it have succeeded, so that after a failure the
   * next run reads the same rows again. It is stored unchanged, in a file that users may read:
   * fails with `denied` if it contains a secret of the step, and with `data` if it is not JSON.
   */
  export function set(json: string): void;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
}
