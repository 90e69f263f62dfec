/** Greets each name in the config. */

import { extractor, log, t } from "@osiris/sdk";

export const extract = extractor<{ names: string[] }>((config, output) => {
  log.info("greeting", { names: config.names.length });
  const rows = config.names.map((name, index) => ({ id: index + 1, greeting: `hello ${name}` }));
  output.write("main", rows, { id: t.int, greeting: t.string });
});
