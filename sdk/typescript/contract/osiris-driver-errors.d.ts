declare module 'osiris:driver/errors@0.2.0' {
  /**
   * The kind says what can be done. The host runs the step again after `rate-limited`, `transient`
   * and `timeout`, as often as the pipeline allows (`retries`); `config`, `auth`, `denied` and
   * `not-found` are for the user to fix.
   * # Variants
   * 
   * ## `"config"`
   * 
   * The step's configuration is wrong.
   * ## `"auth"`
   * 
   * A login was refused.
   * ## `"denied"`
   * 
   * The step was not granted the access that the driver asked for.
   * ## `"not-found"`
   * 
   * A file, table, column or remote object does not exist.
   * ## `"rate-limited"`
   * 
   * The server asks for fewer calls; see `retry-after-ms`.
   * ## `"transient"`
   * 
   * The same call may succeed later.
   * ## `"timeout"`
   * 
   * An answer did not arrive in time.
   * ## `"data"`
   * 
   * The data is malformed or does not fit its declared type.
   * ## `"limit"`
   * 
   * The step reached one of its limits, which `code` names: `memory`, `disk`, `output`,
   * `readers`, `tables`, `connections` or `network`.
   * ## `"internal"`
   * 
   * A fault inside the driver or the host.
   * ## `"other"`
   * 
   * None of the above; `code` names it.
   */
  export type ErrorKind = 'config' | 'auth' | 'denied' | 'not-found' | 'rate-limited' | 'transient' | 'timeout' | 'data' | 'limit' | 'internal' | 'other';
  export interface Error {
    kind: ErrorKind,
    /**
     * The name of the error in the system that it comes from, such as `23505` or `HTTP 503`.
     */
    code?: string,
    /**
     * One sentence for the user: what was being done, to what, and why it failed. Lower case,
     * no full stop. It must never contain secrets.
     */
    message: string,
    /**
     * Milliseconds to wait before another attempt, if the server asked for that.
     */
    retryAfterMs?: number,
  }
}
