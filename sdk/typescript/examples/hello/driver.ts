/** Greets each name in the config. */

import { extractor, t } from "@osiris/sdk";

export const extract = extractor<{ names: string[] }>((config, output) => {
  output.write(
    "main",
    config.names.map((name) => ({ greeting: `hello ${name}` })),
    { greeting: t.string },
  );
});
