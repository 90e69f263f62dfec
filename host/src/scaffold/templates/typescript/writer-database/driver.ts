/** Sets an entry of a key-value server for each row. */

import { dataError, decodeUtf8, encodeUtf8, tcp, transientError, writer } from "@osiris/sdk";

interface Config {
  connection: { host: string; port: number };
  key: string;
  value: string;
}

export const load = writer<Config>((config, inputs) => {
  const server = tcp.connect(config.connection.host, config.connection.port);
  let number = 0;
  for (const row of inputs.only().rows(config.key, config.value)) {
    number++;
    server.write(encodeUtf8(`${JSON.stringify(["SET", row[config.key], row[config.value]])}\n`));
    const answer = line(() => server.read(1 << 16));
    if (answer !== "OK") throw dataError(`the server refused row ${number}: ${answer.replace("ERROR ", "")}`);
  }
});

/** The server's next line. It sends nothing more before it has received the next command. */
function line(read: () => Uint8Array): string {
  let text = new Uint8Array();
  for (let part = read(); part.length > 0; part = read()) {
    const whole = new Uint8Array(text.length + part.length);
    whole.set(text);
    whole.set(part, text.length);
    if (whole.at(-1) === 10) return decodeUtf8(whole).trim();
    text = whole;
  }
  throw transientError("the server closed the connection");
}
