/** An extractor for StarlingMonkey: it waits for promises, and uses what only that engine has. */

import { extractor, t } from "@osiris/sdk";

export const extract = extractor(async (config, output) => {
  const sum = await Promise.resolve(config.numbers.reduce((a: number, b: number) => a + b, 0));
  const text = new TextDecoder().decode(new TextEncoder().encode("žluť 😀"));
  output.write("main", [{ sum, text, path: new URL("../b", "https://x/a/a").pathname, big: 2n ** 64n }], { big: t.hugeint });
});
