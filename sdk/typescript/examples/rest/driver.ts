/** Reads the items of a paged REST API, page by page. */

import { extractor, http, progress, secret, t } from "@osiris/sdk";

interface Config {
  url: string;
  page_size: number;
}

export const extract = extractor<Config>((config, output) => {
  const api = http.session({ baseUrl: config.url, bearer: secret("token") });
  const table = output.table("main", {
    id: t.int,
    name: t.string,
    amount: t.decimal(18, 2),
    tags: t.list(t.string),
    created_at: t.instant,
  });
  let pages = 0;
  for (const page of api.pagesByCursor("items", {
    cursor: "next",
    param: "page",
    params: { size: config.page_size },
  })) {
    table.write(page.json().items);
    progress(++pages);
  }
});
