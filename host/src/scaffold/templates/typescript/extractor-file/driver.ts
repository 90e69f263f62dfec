/** Reads a log file: a time, a level and a message in each line. */

import { dataError, decodeUtf8, extractor, files, t } from "@osiris/sdk";

export const extract = extractor<{ path: string }>((config, output) => {
  const table = output.table("main", { at: t.instant, level: t.string, message: t.string });
  let number = 0;
  for (const line of lines(files.open(config.path).parts())) {
    number++;
    if (line === "") continue;
    const [, at, level, message] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
    if (message === undefined) throw dataError(`line ${number} is not a time, a level and a message`);
    table.write({ at, level, message });
  }
});

/** The lines of a file that is read in parts. A part may end inside a character, so each line is decoded whole. */
function* lines(parts: Iterable<Uint8Array>): Generator<string> {
  let pending = new Uint8Array();
  for (const part of parts) {
    const whole = new Uint8Array(pending.length + part.length);
    whole.set(pending);
    whole.set(part, pending.length);
    const end = whole.lastIndexOf(10);
    if (end >= 0) yield* decodeUtf8(whole.subarray(0, end)).split(/\r?\n/);
    pending = whole.slice(end + 1);
  }
  if (pending.length > 0) yield decodeUtf8(pending);
}
