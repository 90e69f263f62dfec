/** The HTTP client: statuses, retries, redirects, paging, login and limits. */

import assert from "node:assert/strict";
import test from "node:test";
import { checks, http, OsirisError, transientError } from "@osiris/sdk";
import { run, type Exchange } from "@osiris/sdk/testing";
import { joinUrl, shownUrl, withParams } from "../src/url.js";

const URL = "https://api.example.com/items";

/** Runs `use` inside a driver with these exchanges; returns what it returned and the run's result. */
async function called<T>(use: () => T, ...exchanges: Exchange[]) {
  let returned: T | undefined;
  const result = await run(
    checks(() => ((returned = use()), "")),
    { http: exchanges },
  );
  return { returned: returned as T, result };
}

const fails = (kind: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof OsirisError, String(error));
  assert.equal(error.kind, kind);
  assert.match(error.message, message);
  return true;
};

test("a request carries what the session and the call say", async () => {
  const { returned, result } = await called(
    () => {
      const api = http.session({
        baseUrl: "https://api.example.com/v1/",
        bearer: "t",
        headers: { "X-One": "1" },
        params: { all: true },
      });
      api.post("items", { params: { q: ["a b", "ü"], none: null }, json: { x: 1.5 } });
      api.put("https://other.example.com/x?y=1", { form: { a: "b c", none: null }, headers: { "x-one": "2" } });
      return http
        .session({ basic: { user: "user", password: "päss" } })
        .get(URL)
        .json();
    },
    { url: "https://api.example.com/v1/items?all=true&q=a%20b&q=%C3%BC", method: "POST", requestJson: { x: 1.5 } },
    { url: "https://other.example.com/x?y=1&all=true", method: "PUT" },
    { url: URL, body: '\ufeff{"exact": 12345678901234567.89, "plain": 0.1}' },
  );
  assert.deepEqual(
    [result.requests[0]!.headers.authorization, result.requests[0]!.headers["x-one"]],
    ["Bearer t", "1"],
  );
  assert.deepEqual([result.requests[1]!.headers["x-one"], result.requests[1]!.body], ["2", "a=b+c"]);
  assert.equal(result.requests[2]!.headers.authorization, `Basic ${Buffer.from("user:päss").toString("base64")}`);
  assert.deepEqual([String(returned.exact), returned.plain], ["12345678901234567.89", 0.1]);
});

test("statuses are errors of their kind", async () => {
  for (const [status, kind] of [
    [400, "config"],
    [401, "auth"],
    [403, "denied"],
    [404, "not-found"],
    [409, "config"],
    [429, "rate-limited"],
    [500, "transient"],
    [599, "transient"],
  ] as const) {
    const url = `${URL}?api_key=hunter2`;
    await assert.rejects(
      called(() => http.session({ retry: { retries: 0 } }).get(url), { url, status, body: "what\n went wrong" }),
      (error: OsirisError) => {
        assert.deepEqual([error.kind, error.code], [kind, `HTTP ${status}`]);
        assert.match(error.message, new RegExp(`^\`GET ${URL}\\?api_key=…\` answered ${status}.*: what went wrong$`));
        return true;
      },
    );
  }
  assert.equal((await called(() => http.get(URL, { accept: [404] }).status, { url: URL, status: 404 })).returned, 404);
});

test("what may be temporary is retried as the server asks", async () => {
  const { returned, result } = await called(
    () => http.get(URL).json(),
    { url: URL, status: 429, headers: { "Retry-After": "7" } },
    { url: URL, error: transientError("the connection broke") },
    { url: URL, status: 503 },
    { url: URL, json: [1] },
  );
  assert.deepEqual([returned, result.waits[0], result.log[0]!.fields.wait_ms], [[1], 7000, "7000"]);
  assert.ok(
    result.waits[1]! >= 500 && result.waits[1]! <= 1000 && result.waits[2]! >= 1000 && result.waits[2]! <= 2000,
  );
  await assert.rejects(
    called(() => http.get(URL), { url: URL, status: 429, headers: { "retry-after": "3600" } }),
    fails("rate-limited", /asks to wait 3600 s, longer than the 60 s/),
  );
  const four = Array.from({ length: 4 }, () => ({ url: URL, status: 500 }));
  await assert.rejects(
    called(() => http.get(URL), ...four),
    fails("transient", /answered 500 .*\(tried 4 times\)$/),
  );
  assert.equal((await called(() => http.get(URL, { throws: false }).status, ...four)).returned, 500);
  await assert.rejects(
    called(() => http.post(URL), { url: URL, method: "POST", status: 503 }),
    fails("transient", /503/),
  );
  assert.equal(
    (
      await called(
        () => http.post(URL, { repeatable: true }).status,
        { url: URL, method: "POST", status: 503 },
        { url: URL, method: "POST" },
      )
    ).returned,
    200,
  );
});

test("the wait that a server asks for is understood", () => {
  const now = 1_700_000_000_000;
  const date = (seconds: number) => new Date(now + seconds * 1000).toUTCString();
  for (const [status, headers, expected] of [
    [429, { "x-ratelimit-reset": "1700000007" }, 7],
    [429, { "x-ratelimit-reset": "1700000007000" }, 7],
    [429, { "x-ratelimit-reset": "1600000000" }, 0],
    [503, { "ratelimit-reset": "30" }, 30],
    [429, { "x-ratelimit-reset-after": "2" }, 2],
    [429, { "x-ratelimit-reset-requests": "6s" }, 6],
    [429, { "x-ratelimit-reset": date(5) }, 5],
    [429, { "retry-after": "1", "x-ratelimit-reset": "1700000007" }, 1],
    [429, { "x-ratelimit-reset": "soon" }, undefined],
    [429, { date: date(3600), "retry-after": date(3604) }, 4],
    [403, { "x-ratelimit-reset": "1700000007", "x-ratelimit-remaining": "0" }, 7],
    [403, { "x-ratelimit-reset": "1700000007", "x-ratelimit-remaining": "12" }, undefined],
    [500, { "ratelimit-reset": "30" }, undefined],
    [500, { "retry-after": "-1" }, undefined],
    [500, { "retry-after": "NaN" }, undefined],
    [202, { "retry-after": "0" }, 0],
  ] as const) {
    assert.equal(
      http.askedWait(status, new Map(Object.entries(headers)), now),
      expected === undefined ? undefined : expected * 1000,
      `${status} ${JSON.stringify(headers)}`,
    );
  }
});

test("a refusal that says when the limit is reset is about the rate", async () => {
  for (const [headers, kind] of [
    [{ "retry-after": "90" }, "rate-limited"],
    [{ "x-ratelimit-remaining": "12" }, "denied"],
  ] as const) {
    const refused = () => http.session({ retry: { retries: 0 } }).get(URL);
    await assert.rejects(called(refused, { url: URL, status: 403, headers }), { kind });
  }
});

test("redirects are followed without secrets to other origins", async () => {
  const { returned, result } = await called(
    () => http.session({ bearer: "t", headers: { "x-plain": "p", "x-api-key": "k" } }).get(URL).url,
    { url: URL, status: 302, headers: { location: "/moved" } },
    { url: "https://api.example.com/moved", status: 307, headers: { location: "https://cdn.example.com/x" } },
    { url: "https://cdn.example.com/x" },
  );
  assert.equal(returned, "https://cdn.example.com/x");
  assert.deepEqual(
    result.requests.map(({ headers }) => ["authorization", "x-api-key", "x-plain"].map((name) => name in headers)),
    [
      [true, true, true],
      [true, true, true],
      [false, false, true],
    ],
  );
  await assert.rejects(
    called(() => http.post(URL, { json: {} }), {
      url: URL,
      method: "POST",
      status: 308,
      headers: { location: "https://evil.example.com" },
    }),
    fails("denied", /must not get the request's body/),
  );
  await assert.rejects(
    called(
      () => http.get(URL),
      ...Array.from({ length: 6 }, () => ({ url: URL, status: 302, headers: { location: URL } })),
    ),
    fails("config", /redirects more than 5 times/),
  );
  const posted = await called(
    () => http.post(URL, { json: {} }).status,
    { url: URL, method: "POST", status: 303, headers: { location: "/done" } },
    { url: "https://api.example.com/done" },
  );
  assert.equal(posted.result.requests[1]!.body, "");
});

test("pages by link", async () => {
  const { returned } = await called(
    () => [...http.session().pagesByLink(URL, { params: { size: 2 } })].map((page) => page.json()),
    {
      url: `${URL}?size=2`,
      json: [1],
      headers: { Link: '</items?size=2&page=2>; rel="next", <https://x/9>; rel="last"' },
    },
    { url: `${URL}?size=2&page=2`, json: [2] },
  );
  assert.deepEqual(returned, [[1], [2]]);
  await assert.rejects(
    called(() => [...http.session().pagesByLink(URL)], { url: URL, json: [], headers: { link: `<${URL}>; rel=next` } }),
    fails("data", /goes in circles: after page 1/),
  );
  for (const [header, expected] of [
    ['<https://x/?page=1>; rel="prev", </b?c=1,2>; title="a, b"; rel=next', "/b?c=1,2"],
    ['<https://x/>; REL="prev next"', "https://x/"],
    ['<https://x/>; rel="last"', undefined],
    ['<https://x/?page=9>; title="a; rel=next"; rel=last, </2>; rel = "next"', "/2"],
    ['</9>; title="\\"; rel=next, "; rel=last , < /2 >;rel=\'Next\'', "/2"],
    ['</9>; rel="last"; rel="next", </7>; rel="next"; anchor="/other"', undefined],
    ['<https://x/; rel="next"', undefined],
    ["", undefined],
  ] as const)
    assert.equal(http.link(header), expected, header);
});

test("pages by cursor and by number", async () => {
  const byCursor = (cursor: string | ((body: any) => unknown)) => () =>
    [...http.session().pagesByCursor(URL, { cursor, params: { n: 1 } })].map((page) => page.json().v);
  for (const end of [null, "", false]) {
    const { returned } = await called(
      byCursor("meta.next"),
      { url: `${URL}?n=1`, json: { v: 1, meta: { next: 0 } } },
      { url: `${URL}?n=1&cursor=0`, json: { v: 2, meta: { next: end } } },
    );
    assert.deepEqual(returned, [1, 2]);
  }
  const absolute = await called(
    byCursor((body) => body.more),
    { url: `${URL}?n=1`, json: { v: 1, more: `${URL}/2` } },
    { url: `${URL}/2`, json: { v: 2 } },
  );
  assert.deepEqual(absolute.returned, [1, 2]);
  await assert.rejects(
    called(
      byCursor("next"),
      { url: `${URL}?n=1`, json: { v: 1, next: "a" } },
      { url: `${URL}?n=1&cursor=a`, json: { next: "a" } },
    ),
    fails("data", /circles/),
  );
  const byNumber =
    (options: object = {}) =>
    () =>
      [...http.session().pagesByNumber(URL, options)].map((page) => page.json());
  const numbered = (...bodies: unknown[]) => bodies.map((json, at) => ({ url: `${URL}?page=${at + 1}`, json }));
  assert.deepEqual((await called(byNumber(), ...numbered([1], [2], []))).returned, [[1], [2]]);
  const offsets = await called(
    byNumber({ records: "items", param: "offset", first: 0, step: 50 }),
    ...[0, 50, 100].map((at) => ({ url: `${URL}?offset=${at}`, json: { items: at < 100 ? [at] : null } })),
  );
  assert.equal(offsets.returned.length, 2);
  await assert.rejects(called(byNumber(), ...numbered([1], [1])), fails("data", /the same page twice/));
  await assert.rejects(called(byNumber({ maxPages: 2 }), ...numbered([1], [2])), fails("config", /more than 2 pages/));
  await assert.rejects(
    called(byNumber({ records: "items" }), ...numbered({ items: 7 })),
    fails("data", /no list of records in `items`/),
  );
});

test("client credentials are renewed when refused", async () => {
  const tokenUrl = "https://login.example.com/token";
  const use =
    (more: object = {}) =>
    () => {
      const api = http.session({
        auth: http.oauth2({ tokenUrl, clientId: "me", clientSecret: "hunter2", scope: "read", ...more }),
      });
      return [api.get(URL).json(), api.get(URL).json()];
    };
  const token = (name: string): Exchange => ({
    url: tokenUrl,
    method: "POST",
    json: { access_token: name, expires_in: 3600 },
  });
  const { returned, result } = await called(
    use(),
    token("one"),
    { url: URL, json: 1 },
    { url: URL, status: 401 },
    token("two"),
    { url: URL, json: 2 },
  );
  assert.deepEqual(returned, [1, 2]);
  assert.deepEqual(
    result.requests.filter((one) => one.url === URL).map((one) => one.headers.authorization),
    ["Bearer one", "Bearer one", "Bearer two"],
  );
  assert.equal(result.requests[0]!.body, "grant_type=client_credentials&scope=read");
  const inBody = await called(use({ inBody: true }), token("one"), { url: URL, json: 1 }, { url: URL, json: 2 });
  assert.match(inBody.result.requests[0]!.body, /client_secret=hunter2/);
  for (const status of [400, 401])
    await assert.rejects(
      called(use(), { url: tokenUrl, method: "POST", status, body: "invalid_client" }),
      fails("auth", /invalid_client/),
    );
  await assert.rejects(
    called(use(), token("one"), { url: URL, status: 401 }, token("two"), { url: URL, status: 401 }),
    fails("auth", /401/),
  );
  await assert.rejects(called(use(), { url: tokenUrl, method: "POST", json: {} }), fails("data", /no `access_token`/));
});

test("the rate limit spaces requests, and bodies are bounded and verified", async () => {
  const { result } = await called(
    () => {
      const api = http.session({ requestsPerSecond: 10 });
      for (let at = 0; at < 3; at++) api.get(URL);
    },
    { url: URL },
    { url: URL },
    { url: URL },
  );
  assert.ok(
    result.waits.length === 2 && result.waits[0]! > 50 && result.waits[1]! > 100 && result.waits[1]! <= 200,
    String(result.waits),
  );
  await assert.rejects(
    called(() => http.session({ maxBytes: 3 }).get(URL), { url: URL, body: "1234" }),
    fails("data", /larger than the 3 bytes/),
  );
  await assert.rejects(
    called(() => http.get(URL), { url: URL, body: "1234", headers: { "content-encoding": "gzip" } }),
    fails("data", /compressed \(gzip\)/),
  );
  assert.equal(
    (
      await called(() => http.get(URL).text, {
        url: URL,
        body: Uint8Array.of(0xfc),
        headers: { "content-type": "text/plain; charset=ISO-8859-1" },
      })
    ).returned,
    "ü",
  );
  for (const [body, reason] of [
    ["<html>", /begins with: <html>/],
    ["", /it is empty/],
    [Uint8Array.of(255), /not UTF-8/],
  ] as const) {
    await assert.rejects(
      called(() => http.get(URL).json(), { url: URL, body }),
      fails("data", reason),
    );
  }
  await assert.rejects(
    called(() => http.get("file:///etc/passwd")),
    fails("config", /not an http or https URL/),
  );
  await assert.rejects(
    called(() => http.get(URL), { url: "https://x" }),
    /not recorded: GET https:\/\/api.example.com\/items; left: GET https:\/\/x/,
  );
  await assert.rejects(
    called(() => 1, { url: URL }),
    /did not make 1 requests/,
  );
});

test("addresses", () => {
  for (const [reference, expected] of [
    ["g", "http://a/b/c/g"],
    ["./g", "http://a/b/c/g"],
    ["g/", "http://a/b/c/g/"],
    ["/g", "http://a/g"],
    ["//g", "http://g"],
    ["?y", "http://a/b/c/d;p?y"],
    ["g?y", "http://a/b/c/g?y"],
    ["../g", "http://a/b/g"],
    ["../../g", "http://a/g"],
    ["../../../g", "http://a/g"],
    ["./", "http://a/b/c/"],
    ["..", "http://a/b/"],
    ["", "http://a/b/c/d;p?q"],
    ["https://x/y", "https://x/y"],
  ] as const)
    assert.equal(joinUrl("http://a/b/c/d;p?q", reference), expected, reference);
  assert.equal(withParams("https://x/?a=1#f", { b: false, c: 1.5, d: undefined }), "https://x/?a=1&b=false&c=1.5");
  assert.equal(shownUrl("https://user:pass@x/p?token=t&page=2#f"), "https://x/p?token=…&page=2");
});
