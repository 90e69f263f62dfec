/** Helpers for paging: the `Link` header, and a guard against a server that goes in circles. */

import { configError, dataError } from "../errors.js";

/** The address that a `Link` header (RFC 8288) gives for `relation`. A link with an `anchor` is about another document. */
export function link(header: string, relation = "next"): string | undefined {
  let rest = header;
  for (let start = rest.indexOf("<"); start >= 0; start = rest.indexOf("<")) {
    const end = rest.indexOf(">", start);
    if (end < 0) return undefined;
    const behind = rest.slice(end + 1);
    const length = unquoted(behind, ",");
    let relations: string[] | undefined;
    let anchored = false;
    for (let parameters = behind.slice(0, length); parameters;) {
      const cut = unquoted(parameters, ";");
      const [name = "", ...value] = parameters.slice(0, cut).split("=");
      parameters = parameters.slice(cut + 1);
      anchored ||= name.trim().toLowerCase() === "anchor";
      if (name.trim().toLowerCase() === "rel")
        relations ??= value
          .join("=")
          .trim()
          .replace(/^["']+|["']+$/g, "")
          .toLowerCase()
          .split(/\s+/);
    }
    if (!anchored && relations?.includes(relation.toLowerCase())) return rest.slice(start + 1, end).trim();
    rest = behind.slice(length);
  }
  return undefined;
}

/** The position of the first `letter` outside quotes, or the end. */
function unquoted(text: string, letter: string): number {
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    if (quoted && text[at] === "\\") at++;
    else if (text[at] === '"') quoted = !quoted;
    else if (!quoted && text[at] === letter) return at;
  }
  return text.length;
}

/** Counts pages, and detects a server that returns a page twice. */
export class PageGuard {
  #pages = 0;
  #asked = new Set<string>();
  #last: string | undefined;

  constructor(readonly maxPages: number) {}

  /** Call this before a page is requested, with everything that distinguishes it from the others. */
  ask(page: string): void {
    if (this.#pages === this.maxPages)
      throw configError(`there are more than ${this.maxPages} pages; raise \`maxPages\` to read them all`);
    if (this.#asked.has(page))
      throw dataError(`the server goes in circles: after page ${this.#pages} it names a page that was read already`);
    this.#asked.add(page);
    this.#pages++;
  }

  /** Call this with the content of each page that has records. */
  got(content: string): void {
    if (content === this.#last)
      throw dataError(
        `the server gave the same page twice, as page ${this.#pages - 1} and page ${this.#pages}: it ignores which page is requested`,
      );
    this.#last = content;
  }
}
