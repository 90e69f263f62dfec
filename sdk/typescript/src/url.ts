/** Addresses, as far as the HTTP client needs them: QuickJS has no `URL`. */

import { encodeUtf8 } from "./utf8.js";

export interface Url {
  scheme: string;
  authority: string;
  path: string;
  query: string;
}

/** The parts of an address; `undefined` if it is not an http or https URL. */
export function parseUrl(url: string): Url | undefined {
  const parts = /^(https?):\/\/([^/?#]+)([^?#]*)(?:\?([^#]*))?(?:#.*)?$/i.exec(url);
  return parts
    ? { scheme: parts[1]!.toLowerCase(), authority: parts[2]!, path: parts[3] || "/", query: parts[4] ?? "" }
    : undefined;
}

/** The address that `reference` means at `base` (RFC 3986, section 5.2). */
export function joinUrl(base: string, reference: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(reference)) return reference;
  const from = parseUrl(base);
  if (!from) return reference;
  const origin = `${from.scheme}://${from.authority}`;
  if (reference.startsWith("//")) return `${from.scheme}:${reference}`;
  if (reference.startsWith("/")) return origin + reference;
  if (reference.startsWith("?")) return origin + from.path + reference;
  if (reference === "" || reference.startsWith("#")) return base;
  const [path = "", ...rest] = reference.split(/(?=[?#])/);
  const segments: string[] = [];
  for (const segment of (from.path.replace(/[^/]*$/, "") + path).split("/").slice(1)) {
    if (segment === "..") segments.pop();
    else if (segment !== ".") segments.push(segment);
  }
  const ending = /(^|\/)\.{1,2}$/.test(path) ? "/" : "";
  return `${origin}/${segments.join("/")}${ending}${rest.join("")}`;
}

/** The scheme and the host with its port. */
export function originOf(url: string): string {
  const parts = parseUrl(url);
  if (!parts) return "";
  const host = parts.authority.replace(/^.*@/, "").toLowerCase();
  return `${parts.scheme}://${/:\d+$/.test(host) ? host : `${host}:${parts.scheme === "https" ? 443 : 80}`}`;
}

export type Params = Record<
  string,
  string | number | bigint | boolean | null | undefined | readonly (string | number | boolean)[]
>;

/** A name or a value of a query; a lone surrogate becomes U+FFFD. */
export function component(text: string): string {
  let encoded = "";
  for (const byte of encodeUtf8(text)) {
    const letter = String.fromCharCode(byte);
    encoded += /[A-Za-z0-9_.~-]/.test(letter) ? letter : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Parameters as a query. A list gives one several times; `null` and `undefined` leave it out. */
export function queryOf(params: Params): string {
  const pairs = [];
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value])
      if (one != null) pairs.push(`${component(name)}=${component(String(one))}`);
  }
  return pairs.join("&");
}

/** The address with more parameters. */
export function withParams(url: string, params: Params): string {
  const query = queryOf(params);
  if (!query) return url;
  const [address = ""] = url.split("#");
  return `${address}${address.includes("?") ? (/[?&]$/.test(address) ? "" : "&") : "?"}${query}`;
}

const SECRET = /auth|token|secret|password|passwd|api[-_]?key|apikey|signature|credential|cookie|^key$|^sig$/i;

/** Whether the name of a header or a parameter suggests a secret. */
export const isSecretName = (name: string): boolean => SECRET.test(name);

/** An address for messages, without passwords and keys. */
export function shownUrl(url: string): string {
  const parts = parseUrl(url);
  if (!parts) return url;
  const query = parts.query
    .split("&")
    .map((pair) => (isSecretName(pair.split("=")[0]!) ? `${pair.split("=")[0]}=…` : pair))
    .join("&");
  return `${parts.scheme}://${parts.authority.replace(/^.*@/, "")}${parts.path}${query ? `?${query}` : ""}`;
}
