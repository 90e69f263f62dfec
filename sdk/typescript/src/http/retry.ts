/** When a request is retried, how long to wait first, and what a status means. */

import { OsirisError, type Kind } from "../errors.js";
import { decodeUtf8, latin1 } from "../utf8.js";

/** How often a request is retried, and how long it waits. Times are in milliseconds. */
export interface Retry {
  /** The number of attempts after the first. */
  retries: number;
  /** The base of the wait before the first retry; doubled for each further one. */
  base: number;
  /** The longest wait. If the server asks for a longer one, the request fails and says so. */
  maxWait: number;
  /** The statuses that may be temporary. Any other failure may be too, if the server says when to retry. */
  statuses: readonly number[];
}

export const RETRY: Retry = {
  retries: 3,
  base: 500,
  maxWait: 60_000,
  statuses: [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529],
};

/** How long to wait after `error` before a retry; `undefined` if there is to be none. `tried` counts the attempts. */
export function waitBeforeRetry(
  retry: Retry,
  tried: number,
  status: number | undefined,
  error: OsirisError,
): number | undefined {
  const asked = error.retryAfterMs;
  const again =
    status === undefined
      ? ["transient", "rate-limited", "timeout"].includes(error.kind)
      : retry.statuses.includes(status) || asked !== undefined;
  if (!again || tried > retry.retries || (asked !== undefined && asked > retry.maxWait)) return undefined;
  if (asked) return asked;
  const most = Math.min(retry.base * 2 ** Math.min(tried - 1, 16), retry.maxWait);
  // One half is fixed and the other random, so that many clients do not return at the same time.
  return most / 2 + (most / 2) * Math.random();
}

/** Names of headers that say when a request limit is reset, and whether they count in seconds from now on. */
const RESETS: readonly (readonly [string, boolean])[] = [
  ["x-ratelimit-reset-after", true],
  ["ratelimit-reset", false],
  ["x-ratelimit-reset", false],
  ["x-rate-limit-reset", false],
  ["x-ratelimit-reset-requests", true],
];
const REMAINING = ["x-ratelimit-remaining", "ratelimit-remaining", "x-rate-limit-remaining"];
/** From this number on, seconds are a point in time since 1970; from a hundred times that on, they are milliseconds. */
const EPOCH = 1e9;

/**
 * How many milliseconds the server asks to wait: `Retry-After`, or else until its request limit is reset, if the response
 * is about that limit. A point in time is relative to the response's `Date`, since clocks differ.
 */
export function askedWait(
  status: number,
  headers: ReadonlyMap<string, string>,
  clock = Date.now(),
): number | undefined {
  const sent = Date.parse(headers.get("date") ?? "");
  const now = Number.isNaN(sent) ? clock : sent;
  const wait = retryAfter(headers.get("retry-after") ?? "", now);
  if (wait !== undefined) return wait;
  const left = REMAINING.map((name) => headers.get(name)).find((value) => value !== undefined);
  if (status !== 429 && status !== 503 && !(status === 403 && left?.trim() === "0")) return undefined;
  for (const [name, relative] of RESETS) {
    const value = headers.get(name)?.trim();
    if (value === undefined) continue;
    const number = seconds(value.replace(/s$/, ""));
    if (number === undefined) return retryAfter(value, now);
    if (relative || number < EPOCH) return number * 1000;
    return Math.max(0, (number >= EPOCH * 100 ? number : number * 1000) - now);
  }
  return undefined;
}

function retryAfter(value: string, now: number): number | undefined {
  const wait = seconds(value.trim());
  if (wait !== undefined) return wait * 1000;
  const point = /[A-Za-z]{3}/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(point) ? undefined : Math.max(0, point - now);
}

const seconds = (value: string): number | undefined =>
  /^[0-9]{1,15}(\.[0-9]+)?$/.test(value) ? Number(value) : undefined;

const KINDS: Record<number, Kind> = {
  202: "transient",
  401: "auth",
  403: "denied",
  404: "not-found",
  408: "transient",
  425: "transient",
  429: "rate-limited",
};
const REASONS: Record<number, string> = {
  202: "accepted, not done yet",
  400: "bad request",
  401: "unauthorized",
  403: "forbidden",
  404: "not found",
  405: "method not allowed",
  409: "conflict",
  410: "gone",
  413: "content too large",
  415: "unsupported media type",
  420: "slow down",
  422: "unprocessable content",
  423: "locked",
  425: "too early",
  429: "too many requests",
  500: "internal server error",
  502: "bad gateway",
  503: "service unavailable",
  504: "gateway timeout",
  529: "overloaded",
};

/** The error for a response of this status; `asked` is the method and the address. */
export function statusError(
  asked: string,
  status: number,
  headers: ReadonlyMap<string, string>,
  body: Uint8Array,
): OsirisError {
  const wait = askedWait(status, headers);
  const reason = REASONS[status] ? ` (${REASONS[status]})` : "";
  const asks = wait === undefined ? "" : ` and asks to wait ${Math.ceil(wait / 1000)} s`;
  const quoted = excerpt(body);
  const details = { code: `HTTP ${status}`, ...(wait === undefined ? {} : { retryAfterMs: wait }) };
  // A server that says when the request limit is reset refuses the rate, not the request.
  const limited = status === 403 && wait !== undefined;
  return new OsirisError(
    limited ? "rate-limited" : (KINDS[status] ?? (status >= 500 ? "transient" : "config")),
    `\`${asked}\` answered ${status}${reason}${asks}${quoted ? `: ${quoted}` : ""}`,
    details,
  );
}

/** The start of a body on one line. */
export function excerpt(body: Uint8Array): string {
  const start = body.subarray(0, 1600);
  let text: string;
  try {
    text = decodeUtf8(start);
  } catch {
    text = latin1(start).replace(/[\x80-\xff]/g, "\ufffd");
  }
  const line = [
    ...text
      .split(/\s+/)
      .filter(Boolean)
      .join(" ")
      .replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, ""),
  ];
  return line.length <= 200 ? line.join("") : `${line.slice(0, 200).join("")}…`;
}
