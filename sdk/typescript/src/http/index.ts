/**
 * HTTP through the granted `wasi:http`. The driver's spec must request the addresses.
 *
 * A response with an error status is thrown as the error of its kind. What may be temporary is retried first, as the
 * server asks in `Retry-After` or else with growing waits. Every response is verified to be complete, and its size is
 * bounded.
 */

import { Session, type RequestOptions, type Response, type SessionOptions } from "./session.js";

/** A session, which has everything that its requests share. */
export const session = (options?: SessionOptions): Session => new Session(options);

/** A GET with a new session; use a `session` for several requests. */
export const get = (url: string, options?: RequestOptions): Response => new Session().get(url, options);

/** A POST with a new session. */
export const post = (url: string, options?: RequestOptions): Response => new Session().post(url, options);

export { link } from "./pages.js";
export { askedWait, type Retry } from "./retry.js";
export {
  oauth2,
  Response,
  Session,
  type Auth,
  type OAuth2Options,
  type RequestOptions,
  type SessionOptions,
} from "./session.js";
