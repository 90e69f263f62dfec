/** Reads all pages of a REST API. */

import { extractor, http, secret, t } from "@osiris/sdk";

export const extract = extractor<{ url: string }>((config, output) => {
  const api = http.session({ baseUrl: config.url, bearer: secret("token") });
  const table = output.table("main", { amount: t.decimal(18, 2), created_at: t.instant });
  for (const page of api.pagesByCursor("", { cursor: "next", param: "page" })) table.write(page.json().items);
});
