/** Writes a column of texts to a file, a line for each row. */

import { dataError, encodeUtf8, files, writer } from "@osiris/sdk";

interface Config {
  path: string;
  column: string;
}

export const load = writer<Config>((config, inputs) => {
  const target = files.create(config.path);
  let row = 0;
  for (const batch of inputs.only().batches([config.column])) {
    let lines = "";
    for (const text of batch.get<string>(config.column)) {
      row++;
      if (text === null || text.includes("\n")) {
        const what = text === null ? "null" : "a text with a line break";
        throw dataError(`row ${row} has ${what} in column \`${config.column}\``);
      }
      lines += `${text}\n`;
    }
    target.write(encodeUtf8(lines));
  }
});
