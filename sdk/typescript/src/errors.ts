/** Errors by kind. The kind tells the host and the user what can be done about the error. */

export type Kind = import("osiris:driver/errors@0.2.0").ErrorKind;

export interface Details {
  /** The error's name in the system that it comes from, such as `23505` or `HTTP 503`. */
  code?: string;
  /** Milliseconds to wait before another attempt, if the server asked for that. */
  retryAfterMs?: number;
}

/**
 * Why a driver could not do its work. The message is one sentence for the user, in lower case and without a full stop:
 * what was being done, to what, and why it failed.
 */
export class OsirisError extends Error {
  readonly code: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    readonly kind: Kind,
    message: string,
    details: Details = {},
  ) {
    super(message);
    this.name = "OsirisError";
    this.code = details.code;
    this.retryAfterMs = details.retryAfterMs;
  }

  /** The same error with another message. */
  with(message: string): OsirisError {
    return new OsirisError(this.kind, message, {
      ...(this.code === undefined ? {} : { code: this.code }),
      ...(this.retryAfterMs === undefined ? {} : { retryAfterMs: this.retryAfterMs }),
    });
  }
}

const of = (kind: Kind) => (message: string, details?: Details) => new OsirisError(kind, message, details);

/** The step's configuration is wrong. */
export const configError = of("config");
/** A login was refused. */
export const authError = of("auth");
/** The step was not granted the access that the driver asked for. */
export const deniedError = of("denied");
/** A file, table, column or remote object does not exist. */
export const notFoundError = of("not-found");
/** The server asks for fewer calls. */
export const rateLimitedError = of("rate-limited");
/** The same call may succeed later. */
export const transientError = of("transient");
/** A response did not arrive in time. */
export const timeoutError = of("timeout");
/** The data is malformed or does not fit its declared type. */
export const dataError = of("data");
/** The step reached one of its limits, which `code` names. */
export const limitError = of("limit");
/** A fault inside the driver or the host. */
export const internalError = of("internal");
/** None of the other kinds; `code` names it. */
export const otherError = of("other");

/** What the contract passes. */
export type Refusal = import("osiris:driver/errors@0.2.0").Error;

/** The error that the host returned, if `thrown` is one. JavaScript engines wrap it in an object with a `payload`. */
export function refusalOf(thrown: unknown): OsirisError | undefined {
  const payload = (thrown as { payload?: unknown } | null)?.payload ?? thrown;
  const { kind, message, code, retryAfterMs } = (payload ?? {}) as Partial<Refusal>;
  if (payload instanceof Error || typeof kind !== "string" || typeof message !== "string") return undefined;
  return new OsirisError(kind, message, {
    ...(code == null ? {} : { code }),
    ...(retryAfterMs == null ? {} : { retryAfterMs }),
  });
}

/** Calls the host; its refusal is thrown as an `OsirisError`. */
export function call<T>(toHost: () => T): T {
  try {
    return toHost();
  } catch (thrown) {
    throw refusalOf(thrown) ?? thrown;
  }
}

/** The error as the contract passes it to the host. */
export function toContract(error: OsirisError): Refusal {
  const wait = error.retryAfterMs;
  return {
    kind: error.kind,
    code: error.code,
    message: wellFormed(error.message),
    retryAfterMs: wait === undefined ? undefined : Math.min(Math.max(Math.round(wait), 0), 2 ** 32 - 1),
  };
}

/** The text without lone surrogates, which a WIT string cannot contain. */
export function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}
