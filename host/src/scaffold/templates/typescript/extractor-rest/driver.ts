/** Reads all orders of an HTTP API, page by page. */

import { extractor, http, progress, secret, t } from "@osiris/sdk";

interface Config {
  connection: { url: string };
  page_size: number;
}

export const extract = extractor<Config>((config, output) => {
  const api = http.session({ baseUrl: config.connection.url, bearer: secret("/connection/token") });
  const table = output.table("main", {
    id: t.int,
    customer: t.string,
    amount: t.decimal(18, 2),
    created_at: t.instant,
  });
  const params = { size: config.page_size };
  let pages = 0;
  for (const page of api.pagesByCursor("orders", { cursor: "next", param: "page", params })) {
    table.write(page.json().items);
    progress(++pages);
  }
});
