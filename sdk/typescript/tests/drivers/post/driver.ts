/** A writer with a check, a list of tables and a state, which throws if its config says so. */

import { checks, discovers, http, log, metric, secret, state, writer } from "@osiris/sdk";

interface Config {
  connection: { url: string };
  fails: boolean;
}

const api = (config: Config) => http.session({ baseUrl: config.connection.url, bearer: secret("connection.token") });

export const load = writer<Config>((config, inputs) => {
  log.info(`drew ${Math.random()}`);
  let posted = state.get<number>() ?? 0;
  for (const row of inputs.only().rows()) {
    api(config).post("rows", { json: row });
    posted++;
  }
  metric("posted", posted);
  state.set(posted);
  if (config.fails) throw new RangeError("boom");
});

export const check = checks<Config>((config) => `Rows ${api(config).get("version").json().number}`);

export const discover = discovers<Config>((config) => [
  {
    name: "rows",
    schema: "s",
    columns: [{ name: "id", sourceType: "int8", duckdbType: "BIGINT", nullable: false }],
    primaryKey: ["id"],
    estimatedRows: 2 ** 40,
  },
  { name: config.connection.url, columns: [] },
]);
