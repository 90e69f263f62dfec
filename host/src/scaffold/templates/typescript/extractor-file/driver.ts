/** Reads a log file: a time, a level and a message in each line. */

import { dataError, decodeUtf8, extractor, files, t, transientError } from "@osiris/sdk";

export const extract = extractor<{ path: string }>((config, output) => {
  const table = output.table("main", { at: t.instant, level: t.string, message: t.string });
  const source = files.open(config.path);
  let number = 0;
  for (const line of lines(source)) {
    number++;
    if (line === "") continue;
    const [, at, level, message] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
    if (message === undefined) throw dataError(`line ${number} is not a time, a level and a message`);
    table.write({ at, level, message });
  }
});

/** The lines of a file. It is read in parts, which may end inside a character, so each line is decoded whole. */
function* lines(source: ReturnType<typeof files.open>): Generator<string> {
  let pending = new Uint8Array();
  let size = 0;
  for (const part of source.parts()) {
    size += part.length;
    const whole = new Uint8Array(pending.length + part.length);
    whole.set(pending);
    whole.set(part, pending.length);
    const end = whole.lastIndexOf(10);
    if (end >= 0) yield* decodeUtf8(whole.subarray(0, end)).split(/\r?\n/);
    pending = whole.slice(end + 1);
  }
  if (size !== source.size) throw transientError("the file ended before its end");
  if (pending.length > 0) yield decodeUtf8(pending);
}
