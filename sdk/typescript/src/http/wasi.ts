/** Carries one request and its response over `wasi:http`, and waits. */

import {
  configError,
  dataError,
  internalError,
  OsirisError,
  refusalOf,
  timeoutError,
  transientError,
  type Kind,
} from "../errors.js";
import type { Http, Incoming, Outgoing } from "../host.js";
import { parseUrl } from "../url.js";
import { decodeUtf8, encodeUtf8, latin1 } from "../utf8.js";

type Types = typeof import("wasi:http/types@0.2.12");
type Handler = typeof import("wasi:http/outgoing-handler@0.2.12");
type Clock = typeof import("wasi:clocks/monotonic-clock@0.2.12");
type Poll = typeof import("wasi:io/poll@0.2.12");
type Pollable = import("wasi:io/poll@0.2.12").Pollable;

/** `wide` says that the engine passes 64-bit integers as bigints. */
export function wasiHttp(types: Types, handler: Handler, clock: Clock, poll: Poll, wide: boolean): Http {
  const u64 = (value: number) => (wide ? BigInt(Math.round(value)) : Math.round(value)) as bigint;
  const nanoseconds = (ms: number) => u64(ms * 1e6);

  function waitFor(source: { subscribe(): Pollable }, most: number, deadline: number): void {
    const ready = source.subscribe();
    try {
      if (ready.ready()) return;
      const left = Math.max(0, deadline - Date.now());
      const timer = clock.subscribeDuration(nanoseconds(Math.min(most, left)));
      const done = Array.from(poll.poll([ready, timer]));
      dispose(timer);
      if (!done.includes(0))
        throw timeoutError(
          left < most
            ? "the response took longer than it may as a whole"
            : "the server kept silent for longer than it may",
        );
    } finally {
      dispose(ready);
    }
  }

  function prepared(request: Outgoing) {
    const url = parseUrl(request.url)!;
    try {
      const length: [string, string][] = request.body ? [["content-length", String(request.body.length)]] : [];
      const headers = [...request.headers, ...length].map(([name, value]): [string, Uint8Array] => [
        name,
        encodeUtf8(value),
      ]);
      const outgoing = new types.OutgoingRequest(types.Fields.fromList(headers));
      const method = request.method.toLowerCase();
      outgoing.setMethod((METHODS.includes(method) ? { tag: method } : { tag: "other", val: request.method }) as never);
      outgoing.setScheme({ tag: url.scheme === "https" ? "HTTPS" : "HTTP" });
      outgoing.setAuthority(url.authority.replace(/^.*@/, ""));
      outgoing.setPathWithQuery(printable(url.query ? `${url.path}?${url.query}` : url.path));
      const options = new types.RequestOptions();
      options.setConnectTimeout(nanoseconds(request.connectTimeout));
      options.setFirstByteTimeout(nanoseconds(request.timeout));
      options.setBetweenBytesTimeout(nanoseconds(request.timeout + 5000));
      return { outgoing, options, body: outgoing.body() };
    } catch (thrown) {
      throw errorOf(thrown) ?? configError("the method, the address or a header is malformed");
    }
  }

  /** Writes the request's body; returns what broke it. */
  function write(
    body: import("wasi:http/types@0.2.12").OutgoingBody,
    bytes: Uint8Array | null,
  ): OsirisError | undefined {
    try {
      if (bytes?.length) {
        const stream = body.write();
        for (let at = 0; at < bytes.length; at += 4096) stream.blockingWriteAndFlush(bytes.slice(at, at + 4096));
        dispose(stream);
      }
      types.OutgoingBody.finish(body, undefined);
      return undefined;
    } catch (thrown) {
      return streamError(thrown);
    }
  }

  function streamError(thrown: unknown): OsirisError {
    const failure = payloadOf(thrown) as { tag?: string; val?: { toDebugString(): string } };
    if (failure?.tag === "last-operation-failed") {
      const code = types.httpErrorCode(failure.val as never);
      return (
        (code && errorOf(code)) ||
        transientError(`the connection broke before the response was complete (${failure.val!.toDebugString()})`)
      );
    }
    return failure?.tag === "closed"
      ? transientError("the connection was closed")
      : (errorOf(thrown) ?? internalError(String(thrown)));
  }

  /** The whole body; its trailers show whether it was complete. */
  function read(
    response: import("wasi:http/types@0.2.12").IncomingResponse,
    request: Outgoing,
    deadline: number,
  ): Uint8Array {
    const body = response.consume();
    const stream = body.stream();
    const parts: Uint8Array[] = [];
    let size = 0;
    try {
      for (;;) {
        waitFor(stream, request.timeout, deadline);
        let part: Uint8Array;
        try {
          part = stream.read(u64(64 << 10));
        } catch (thrown) {
          if ((payloadOf(thrown) as { tag?: string } | null)?.tag === "closed") break;
          throw streamError(thrown);
        }
        size += part.length;
        if (size > request.maxBytes)
          throw dataError(`the response is larger than the ${request.maxBytes} bytes that it may be`);
        if (part.length) parts.push(part);
      }
    } catch (error) {
      dispose(stream);
      dispose(body);
      throw error;
    }
    dispose(stream);
    const trailers = types.IncomingBody.finish(body);
    waitFor(trailers, request.timeout, deadline);
    const outcome = trailers.get() as { val?: { tag?: string; val?: unknown } } | undefined | null;
    dispose(trailers);
    if (outcome?.val?.tag === "err")
      throw errorOf(outcome.val.val) ?? internalError("the response's trailers are malformed");
    const whole = new Uint8Array(size);
    let end = 0;
    for (const part of parts) {
      whole.set(part, end);
      end += part.length;
    }
    return whole;
  }

  function send(request: Outgoing): Incoming {
    const deadline = Date.now() + request.totalTimeout;
    const { outgoing, options, body } = prepared(request);
    let future;
    try {
      future = handler.handle(outgoing, options);
    } catch (thrown) {
      throw errorOf(thrown) ?? thrown;
    }
    // A server may respond before it has read everything, so the response, not the write, says what went wrong.
    const broken = write(body, request.body);
    try {
      waitFor(future, request.connectTimeout + request.timeout, deadline);
      const answer = future.get() as { tag: string; val: { tag: string; val: unknown } } | undefined | null;
      const outcome = answer?.val;
      if (outcome?.tag === "err") throw errorOf(outcome.val) ?? internalError("HTTP failed");
      if (outcome?.tag !== "ok") throw broken ?? internalError("the host gave no response");
      const response = outcome.val as import("wasi:http/types@0.2.12").IncomingResponse;
      try {
        const fields = response.headers();
        const headers = fields
          .entries()
          .map(([name, value]): [string, string] => [name.toLowerCase(), headerText(value)]);
        dispose(fields);
        const content = read(response, request, deadline);
        const expected = Number(headers.find(([name]) => name === "content-length")?.[1] ?? 0);
        if (content.length < expected && request.method !== "HEAD")
          throw transientError(`the response ends after ${content.length} of ${expected} bytes`);
        return { status: response.status(), headers, body: content };
      } finally {
        dispose(response);
      }
    } finally {
      dispose(future);
    }
  }

  return {
    send,
    sleep(ms) {
      const timer = clock.subscribeDuration(nanoseconds(Math.max(0, ms)));
      timer.block();
      dispose(timer);
    },
  };
}

const METHODS = ["get", "head", "post", "put", "delete", "connect", "options", "trace", "patch"];

function dispose(resource: object): void {
  (resource as Partial<Disposable>)[Symbol.dispose]?.();
}

function payloadOf(thrown: unknown): unknown {
  return (thrown as { payload?: unknown } | null)?.payload ?? thrown;
}

/** Everything but printable ASCII percent-encoded. */
function printable(path: string): string {
  return path.replace(/[^!-~]+/g, (part) =>
    Array.from(encodeUtf8(part), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** A header's value; older servers write it in Latin-1. */
function headerText(value: Uint8Array): string {
  try {
    return decodeUtf8(value);
  } catch {
    return latin1(value);
  }
}

const CODES: Record<string, [Kind, string]> = {
  "HTTP-request-denied": ["denied", "the step was not granted this request"],
  "destination-IP-prohibited": ["denied", "the host's name resolves to an address that was not granted"],
  "DNS-timeout": ["timeout", "resolving the host's name took too long"],
  "DNS-error": ["transient", "the host's name is not known"],
  "destination-not-found": ["transient", "the host's name is not known"],
  "destination-unavailable": ["transient", "the host cannot be reached"],
  "destination-IP-unroutable": ["transient", "the host cannot be reached"],
  "connection-refused": ["transient", "the connection was refused"],
  "connection-terminated": ["transient", "the connection broke"],
  "connection-limit-reached": ["transient", "too many connections are open"],
  "connection-timeout": ["timeout", "connecting took too long"],
  "connection-read-timeout": ["timeout", "the server kept silent for longer than it may"],
  "HTTP-response-timeout": ["timeout", "the server kept silent for longer than it may"],
  "connection-write-timeout": ["timeout", "the server took too long to read the request"],
  "TLS-protocol-error": ["transient", "the server and this side cannot agree on TLS"],
  "TLS-certificate-error": [
    "auth",
    "the server's certificate is expired, names another host or leads to no trusted root",
  ],
  "TLS-alert-received": ["transient", "the server refused TLS"],
  "HTTP-response-incomplete": ["transient", "the response ends before it is complete"],
  "HTTP-protocol-error": ["transient", "the server violates HTTP"],
  "HTTP-response-body-size": ["data", "the response is larger than it may be"],
  "HTTP-response-header-section-size": ["data", "the response is larger than it may be"],
  "HTTP-response-header-size": ["data", "the response is larger than it may be"],
  "HTTP-request-URI-invalid": ["config", "the address is malformed"],
  "HTTP-request-URI-too-long": ["config", "the address is malformed"],
};

/** The error of a `wasi:http` error code, if it is one. */
function errorOf(thrown: unknown): OsirisError | undefined {
  const code = payloadOf(thrown) as { tag?: unknown; val?: unknown } | null;
  if (typeof code?.tag !== "string") return refusalOf(thrown);
  const known = CODES[code.tag];
  return known
    ? new OsirisError(...known)
    : internalError(typeof code.val === "string" ? code.val : `HTTP failed with ${code.tag}`);
}
