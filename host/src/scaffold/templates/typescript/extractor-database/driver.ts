/** Reads the entries of a key-value server. */

import { decodeUtf8, encodeUtf8, extractor, otherError, t, tcp, transientError } from "@osiris/sdk";

interface Config {
  connection: { host: string; port: number };
  prefix: string;
}

export const extract = extractor<Config>((config, output) => {
  const table = output.table("main", { key: t.string, value: t.string });
  const server = tcp.connect(config.connection.host, config.connection.port);
  server.write(encodeUtf8(`${JSON.stringify(["LIST", config.prefix])}\n`));
  for (const line of lines(() => server.read(1 << 16))) {
    if (line === ".") return;
    if (line.startsWith("ERROR ")) throw otherError(`the server refused to list its entries: ${line.slice(6)}`);
    table.writeJson(line);
  }
  throw transientError("the server closed the connection before the end of the list");
});

/** The whole lines of a stream; `read` returns its next bytes, and none at its end. */
function* lines(read: () => Uint8Array): Generator<string> {
  let pending = new Uint8Array();
  for (let part = read(); part.length > 0; part = read()) {
    const whole = new Uint8Array(pending.length + part.length);
    whole.set(pending);
    whole.set(part, pending.length);
    const end = whole.lastIndexOf(10);
    if (end >= 0) yield* decodeUtf8(whole.subarray(0, end)).split("\n");
    pending = whole.slice(end + 1);
  }
}
