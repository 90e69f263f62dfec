/** Sends each row to an HTTP API. */

import { http, progress, secret, writer } from "@osiris/sdk";

export const load = writer<{ connection: { url: string } }>((config, inputs) => {
  const api = http.session({ baseUrl: config.connection.url, bearer: secret("/connection/token") });
  let sent = 0;
  for (const row of inputs.only().rows()) {
    api.post("orders", { json: row });
    progress(++sent);
  }
});
