/** A session: settings that requests share, their rate limit, retries, redirects and paging. */

import { log } from "../context.js";
import { authError, configError, dataError, deniedError, internalError, OsirisError } from "../errors.js";
import { host } from "../host.js";
import { jsonText, parse, type Json } from "../json.js";
import { isSecretName, joinUrl, originOf, parseUrl, queryOf, shownUrl, withParams, type Params } from "../url.js";
import { base64, decodeUtf8, encodeUtf8, latin1 } from "../utf8.js";
import { link, PageGuard } from "./pages.js";
import { excerpt, RETRY, statusError, waitBeforeRetry, type Retry } from "./retry.js";

/** Settings of a session. Times are in milliseconds. */
export interface SessionOptions {
  /** Put before relative addresses. */
  baseUrl?: string;
  bearer?: string | undefined;
  basic?: { user: string; password: string };
  auth?: Auth;
  headers?: Record<string, string>;
  params?: Params;
  /** Until the first byte, and between bytes; 30 seconds by default. */
  timeout?: number;
  connectTimeout?: number;
  /** For one response; 10 minutes by default. */
  totalTimeout?: number;
  /** The largest response in bytes; 64 MiB by default. */
  maxBytes?: number;
  redirects?: number;
  retry?: Partial<Retry>;
  requestsPerSecond?: number;
}

export interface RequestOptions {
  params?: Params;
  headers?: Record<string, string>;
  json?: unknown;
  form?: Params;
  body?: string | Uint8Array;
  /** Statuses that are returned instead of thrown. */
  accept?: readonly number[];
  /** Whether the request may be sent again; by default all but POST and PATCH. */
  repeatable?: boolean;
  /** With `false`, every final status is returned after the retries. */
  throws?: boolean;
}

/** What makes the `Authorization` header of a session's requests. */
export interface Auth {
  header(session: Session): string;
  /** Called after a 401; returns whether a new value is worth one more attempt. */
  refused(): boolean;
}

/** A response that has been read completely. */
export class Response {
  constructor(
    /** Method and address without anything secret, for messages. */
    readonly asked: string,
    /** The address of the response, after redirects. */
    readonly url: string,
    readonly status: number,
    /** By name in lower case; several values of one name are joined by commas. */
    readonly headers: ReadonlyMap<string, string>,
    readonly bytes: Uint8Array,
  ) {}

  /** The body as text, in UTF-8 or Latin-1 as its content type says. */
  get text(): string {
    const charset = /charset="?([\w-]+)/i.exec(this.headers.get("content-type") ?? "")?.[1]?.toLowerCase() ?? "utf-8";
    if (["iso-8859-1", "latin1", "us-ascii"].includes(charset)) return latin1(this.bytes);
    try {
      if (charset !== "utf-8" && charset !== "utf8") throw new Error(`the charset ${charset} is not supported`);
      return decodeUtf8(this.bytes).replace(/^\ufeff/, "");
    } catch (error) {
      throw dataError(
        `cannot read the response to \`${this.asked}\` as text: ${error instanceof URIError ? "it is not UTF-8" : (error as Error).message}`,
      );
    }
  }

  /** The body as JSON. A number that JavaScript would round is an `ExactNumber`; with `exact: false` it is rounded. */
  json<T = any>(options: { exact?: boolean } = {}): T {
    try {
      return parse(this.text, options.exact ?? true) as T;
    } catch (error) {
      if (error instanceof OsirisError) throw error;
      const quoted = excerpt(this.bytes);
      throw dataError(
        `the response to \`${this.asked}\` is not JSON (${(error as Error).message}); ${quoted ? `it begins with: ${quoted}` : "it is empty"}`,
      );
    }
  }

  /** The address that the `Link` header gives for `relation`. */
  link(relation = "next"): string | undefined {
    return link(this.headers.get("link") ?? "", relation);
  }

  /** This response as an error, as if its status were `status`: for a server that hides one in a body. */
  asError(status = this.status): OsirisError {
    return statusError(this.asked, status, this.headers, this.bytes);
  }
}

interface Sent {
  method: string;
  url: string;
  headers: Map<string, string>;
  body: Uint8Array | null;
  accept: readonly number[];
  repeatable: boolean;
  throws: boolean;
}

const REDIRECTS = [301, 302, 303, 307, 308];

/** Settings that requests share. */
export class Session {
  readonly options: SessionOptions;
  readonly headers = new Map<string, string>();
  readonly retry: Retry;
  /** How many requests were sent. */
  sent = 0;
  #next = 0;

  constructor(options: SessionOptions = {}) {
    this.options = options;
    this.retry = { ...RETRY, ...options.retry };
    for (const [name, value] of Object.entries(options.headers ?? {})) this.headers.set(name.toLowerCase(), value);
    if (options.bearer !== undefined) this.headers.set("authorization", `Bearer ${options.bearer}`);
    if (options.basic)
      this.headers.set(
        "authorization",
        `Basic ${base64(encodeUtf8(`${options.basic.user}:${options.basic.password}`))}`,
      );
  }

  get(url = "", options?: RequestOptions): Response {
    return this.request("GET", url, options);
  }

  post(url = "", options?: RequestOptions): Response {
    return this.request("POST", url, options);
  }

  put(url = "", options?: RequestOptions): Response {
    return this.request("PUT", url, options);
  }

  patch(url = "", options?: RequestOptions): Response {
    return this.request("PATCH", url, options);
  }

  delete(url = "", options?: RequestOptions): Response {
    return this.request("DELETE", url, options);
  }

  /** Sends a request and reads its response. */
  request(method: string, url = "", options: RequestOptions = {}): Response {
    const headers = new Map(this.headers);
    let body =
      options.body === undefined ? null : typeof options.body === "string" ? encodeUtf8(options.body) : options.body;
    if (options.json !== undefined) {
      body = encodeUtf8(jsonText(options.json));
      headers.set("content-type", "application/json");
    } else if (options.form) {
      body = encodeUtf8(queryOf(options.form).replaceAll("%20", "+"));
      headers.set("content-type", "application/x-www-form-urlencoded");
    }
    for (const [name, value] of Object.entries(options.headers ?? {})) headers.set(name.toLowerCase(), value);
    const upper = method.toUpperCase();
    return this.#authorized({
      method: upper,
      headers,
      body,
      url: withParams(this.address(url), { ...this.options.params, ...options.params }),
      accept: options.accept ?? [],
      repeatable: options.repeatable ?? !["POST", "PATCH"].includes(upper),
      throws: options.throws ?? true,
    });
  }

  /** The address that `url` means in this session. */
  address(url: string): string {
    const base = this.options.baseUrl;
    return base === undefined || parseUrl(url) ? url : url ? joinUrl(`${base.replace(/\/+$/, "")}/`, url) : base;
  }

  /** The pages of a list whose responses name the next page in a `Link` header. */
  *pagesByLink(url = "", options: RequestOptions & { relation?: string; maxPages?: number } = {}): Generator<Response> {
    const guard = new PageGuard(options.maxPages ?? 100_000);
    let { params, ...rest } = options;
    for (let next: string | undefined = this.address(url); next;) {
      guard.ask(next);
      const page = this.get(next, { ...rest, ...(params ? { params } : {}) });
      yield page;
      const named = page.link(options.relation);
      next = named === undefined ? undefined : joinUrl(page.url, named);
      // The address of the next page has the parameters already.
      params = undefined;
    }
  }

  /**
   * The pages of a list whose bodies have the next page's cursor: in the member `cursor` (such as `meta.next`), or as that
   * function finds it. It is sent as the parameter `param`; if it is an address, it is requested as it is. A cursor that is
   * missing, null, false or empty ends the list.
   */
  *pagesByCursor(
    url: string,
    options: RequestOptions & { cursor: string | ((body: any) => unknown); param?: string; maxPages?: number },
  ): Generator<Response> {
    const guard = new PageGuard(options.maxPages ?? 100_000);
    const { params = {}, ...rest } = options;
    for (let at: string | undefined; ;) {
      guard.ask(at === undefined ? "first" : `at ${at}`);
      const isAddress = at !== undefined && parseUrl(at);
      const page: Response = isAddress
        ? this.get(at, rest)
        : this.get(url, {
            ...rest,
            params: at === undefined ? params : { ...params, [options.param ?? "cursor"]: at },
          });
      yield page;
      const found =
        typeof options.cursor === "function" ? options.cursor(page.json()) : memberOf(page.json(), options.cursor);
      if (found == null || found === false || found === "") return;
      at = String(found);
    }
  }

  /**
   * The pages of a list that are requested by number (or by offset, with `first: 0` and the page's size as `step`), until
   * one has no records. `records` is the member that has them, or a function that finds them; by default the body itself.
   */
  *pagesByNumber(
    url: string,
    options: RequestOptions & {
      records?: string | ((body: any) => unknown);
      param?: string;
      first?: number;
      step?: number;
      maxPages?: number;
    } = {},
  ): Generator<Response> {
    const guard = new PageGuard(options.maxPages ?? 100_000);
    const { params = {}, records = "", ...rest } = options;
    for (let number = options.first ?? 1; ; number += options.step ?? 1) {
      guard.ask(String(number));
      const page = this.get(url, { ...rest, params: { ...params, [options.param ?? "page"]: number } });
      const found = typeof records === "function" ? records(page.json()) : memberOf(page.json(), records);
      if (found != null && typeof found !== "object")
        throw dataError(
          `the response to \`${page.asked}\` has no list of records${typeof records === "string" && records ? ` in \`${records}\`` : ""}`,
        );
      if (found == null || Object.keys(found).length === 0) return;
      guard.got(latin1(page.bytes));
      yield page;
    }
  }

  #authorized(request: Sent): Response {
    const { auth } = this.options;
    if (!auth) return this.#repeatedly(request);
    request.headers.set("authorization", auth.header(this));
    try {
      return this.#repeatedly(request);
    } catch (error) {
      if (!(error instanceof OsirisError && error.code === "HTTP 401" && auth.refused())) throw error;
    }
    request.headers.set("authorization", auth.header(this));
    return this.#repeatedly(request);
  }

  #repeatedly(request: Sent): Response {
    for (let tried = 1; ; tried++) {
      let response: Response | undefined;
      let error: OsirisError;
      try {
        response = this.#follow(request);
        const pending = response.status === 202 && response.headers.has("retry-after");
        if ((response.status >= 200 && response.status < 300 && !pending) || request.accept.includes(response.status))
          return response;
        error = response.asError();
      } catch (failure) {
        if (!(failure instanceof OsirisError)) throw failure;
        error = failure;
      }
      const wait = request.repeatable ? waitBeforeRetry(this.retry, tried, response?.status, error) : undefined;
      if (wait === undefined) {
        if (response && !request.throws) return response;
        const long =
          (error.retryAfterMs ?? 0) > this.retry.maxWait
            ? `, longer than the ${this.retry.maxWait / 1000} s that are waited at most`
            : "";
        throw error.with(error.message + long + (tried > 1 ? ` (tried ${tried} times)` : ""));
      }
      log.info("a request failed and is tried again", { because: error.message, wait_ms: Math.round(wait) });
      transport().sleep(wait);
    }
  }

  /** Sends the request, and follows the server's redirects up to a bound. */
  #follow(request: Sent): Response {
    const most = this.options.redirects ?? 5;
    let hop = request;
    for (let left = most; ; left--) {
      const response = this.#once(hop);
      const location = response.headers.get("location");
      if (
        !REDIRECTS.includes(response.status) ||
        location === undefined ||
        most === 0 ||
        request.accept.includes(response.status)
      )
        return response;
      if (left === 0)
        throw configError(`\`${request.method} ${shownUrl(request.url)}\` redirects more than ${most} times`);
      hop = redirected(hop, response.status, joinUrl(hop.url, location));
    }
  }

  #once(request: Sent): Response {
    const now = Date.now();
    if (this.#next > now) transport().sleep(this.#next - now);
    this.#next =
      Math.max(now, this.#next) + (this.options.requestsPerSecond ? 1000 / this.options.requestsPerSecond : 0);
    this.sent++;
    const asked = `${request.method} ${shownUrl(request.url)}`;
    if (!parseUrl(request.url)) throw configError(`cannot call \`${asked}\`: the address is not an http or https URL`);
    const headers = new Map([
      ["accept-encoding", "identity"],
      ["user-agent", "osiris-sdk-typescript"],
      ...request.headers,
    ]);
    const { timeout = 30_000, connectTimeout = 10_000, totalTimeout = 600_000, maxBytes = 64 << 20 } = this.options;
    try {
      const incoming = transport().send({
        method: request.method,
        url: request.url,
        headers: [...headers],
        body: request.body,
        timeout,
        connectTimeout,
        totalTimeout,
        maxBytes,
      });
      const received = new Map<string, string>();
      for (const [name, value] of incoming.headers)
        received.set(
          name.toLowerCase(),
          received.has(name.toLowerCase()) ? `${received.get(name.toLowerCase())}, ${value}` : value,
        );
      const encoding = received.get("content-encoding");
      if (encoding !== undefined && encoding.toLowerCase() !== "identity" && incoming.body.length)
        throw dataError(`the response is compressed (${encoding}), although the request did not allow that`);
      return new Response(asked, request.url, incoming.status, received, incoming.body);
    } catch (error) {
      throw error instanceof OsirisError ? error.with(`cannot call \`${asked}\`: ${error.message}`) : error;
    }
  }
}

function transport() {
  const { http } = host();
  if (!http)
    throw internalError("the driver uses HTTP, but was built without it; add `http` to the grants in its spec");
  return http;
}

/** The request that a redirect asks for. Neither a body nor a secret header is sent to another origin. */
function redirected(request: Sent, status: number, url: string): Sent {
  const headers = new Map(request.headers);
  let { method, body } = request;
  if ((status === 303 && method !== "HEAD") || ((status === 301 || status === 302) && method === "POST")) {
    method = "GET";
    body = null;
    headers.delete("content-type");
  }
  if (originOf(url) !== originOf(request.url)) {
    if (body) {
      throw deniedError(
        `\`${request.method} ${shownUrl(request.url)}\` redirects to another origin, \`${shownUrl(url)}\`, which must not get the request's body; name that address in the step's config if it is meant`,
      );
    }
    for (const name of [...headers.keys()]) if (isSecretName(name)) headers.delete(name);
  }
  return { ...request, method, body, headers, url };
}

/** The member of a body at a path such as `meta.next`. */
function memberOf(body: Json, path: string): unknown {
  return (path ? path.split(".") : []).reduce<unknown>(
    (value, name) =>
      typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined,
    body,
  );
}

export interface OAuth2Options {
  tokenUrl: string;
  clientId: string;
  clientSecret: string;
  scope?: string;
  /** Sends the client's id and secret as fields of the form, which some servers want, instead of as HTTP Basic. */
  inBody?: boolean;
  /** Further fields, such as `{ audience: "…" }`. */
  more?: Record<string, string>;
}

/** OAuth 2.0 client credentials (RFC 6749, 4.4): a new token is requested before one ends, and when the server refuses it. */
export function oauth2(options: OAuth2Options): Auth {
  let token: string | undefined;
  let ends = Infinity;
  const renew = (session: Session) => {
    const client = new Session({
      ...(session.options.timeout === undefined ? {} : { timeout: session.options.timeout }),
      retry: session.retry,
    });
    const { clientId, clientSecret, tokenUrl } = options;
    const form: Params = { grant_type: "client_credentials", scope: options.scope, ...options.more };
    const headers: Record<string, string> = { accept: "application/json" };
    if (options.inBody) Object.assign(form, { client_id: clientId, client_secret: clientSecret });
    else
      headers["authorization"] =
        `Basic ${base64(encodeUtf8([clientId, clientSecret].map((one) => queryOf({ a: one }).slice(2).replaceAll("%20", "+")).join(":")))}`;
    let response: Response;
    try {
      response = client.post(tokenUrl, { form, headers, repeatable: true });
    } catch (error) {
      // RFC 6749, 5.2: a refused client is answered with 400.
      if (error instanceof OsirisError && error.kind === "config" && error.code)
        throw authError(error.message, { code: error.code });
      throw error;
    }
    const answer = response.json<{ access_token?: unknown; expires_in?: unknown } | null>();
    if (typeof answer?.access_token !== "string" || !answer.access_token)
      throw dataError(`the response to \`${response.asked}\` has no \`access_token\``);
    const seconds = Number(answer.expires_in ?? NaN);
    token = answer.access_token;
    // A token is renewed a minute before it ends.
    ends = seconds > 0 ? Date.now() + Math.max(seconds - 60, seconds / 2) * 1000 : Infinity;
  };
  return {
    header(session) {
      if (token === undefined || Date.now() >= ends) renew(session);
      return `Bearer ${token}`;
    },
    refused() {
      const had = token !== undefined;
      token = undefined;
      return had;
    },
  };
}
