/**
 * Attacks by what JavaScript's engines and the SDK offer.
 *
 * Each attack is a function. What it returns, or the error that it throws, is its outcome: one row of the table `main`. An
 * attack in `fatal` ends the driver, so that it is a step of its own.
 */

import { Batch, files, http, log, metric, processor, secret, sql, state, t, type Inputs, type Output } from "@osiris/sdk";

interface Config {
  attack: string;
  file: string;
  url: string;
  target: string;
  private: string[];
}

interface Step {
  config: Config;
  inputs: Inputs;
  output: Output;
}

const got = (value: unknown) => `got ${typeof value === "string" ? value : JSON.stringify(value)}`.slice(0, 200);

function failed(error: unknown): string {
  const { kind, name, message } = error as { kind?: string; name?: string; message?: string };
  return `${kind ?? name}: ${message ?? String(error)}`.slice(0, 200);
}

/** What an action returns, or the error that it throws, now or later. */
function attempt(act: () => unknown): string | Promise<string> {
  try {
    const value = act();
    // Only one of the engines waits for promises.
    if (value instanceof Promise) return "fetch" in globalThis ? value.then(got, failed) : "a promise";
    return got(value);
  } catch (error) {
    return failed(error);
  }
}

const all = (acts: (() => unknown)[]) => acts.map(attempt);
const world = globalThis as Record<string, any>;
const int32 = (...values: number[]) => new Uint8Array(Int32Array.from(values).buffer);
const table = (output: Output, name: string, fields: object[]) => (output.raw as any).createTable(name, { fields });
const field = (format: string, children = 0) => ({ name: "a", format, nullable: true, children, metadata: [] });
const once = { retry: { retries: 0 } };

const tried: Record<string, (step: Step) => unknown> = {
  // What is granted, so that the refusals below mean something.
  granted_file: ({ config }) => got(String.fromCharCode(...[...files.open(config.file).parts()][0]!)),
  granted_address: ({ config }) => got(http.session({ baseUrl: config.url }).get().text),

  // The operating system, as other hosts of JavaScript offer it.
  globals() {
    const names = ["process", "require", "Deno", "Bun", "std", "os", "scriptArgs", "Worker", "XMLHttpRequest", "WebSocket"];
    return names.map((name) => `${name} ${name in world ? "is there" : "is missing"}`);
  },
  evaluate: () =>
    all([
      () => new Function("return 6 * 7")(),
      () => new Function("return process.env")(),
      () => new Function("return require('child_process').execSync('id')")(),
      () => (0, eval)("std.open('/etc/passwd')"),
    ]),
  fetch_elsewhere: ({ config }) =>
    all(
      [config.target, "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", `${config.url}/redirect`].map(
        (url) => async () => {
          const response = await world.fetch(url);
          if (response.status >= 300) throw new Error(`status ${response.status}`);
          return response.text();
        },
      ),
    ),

  // The contract, by the SDK and by the raw bindings.
  files_that_are_not_granted({ config }) {
    const paths = [...config.private, `./${config.file}`, `../${config.file}`, `${config.file}\0`, ""];
    return all([
      ...paths.map((path) => () => files.open(path).size),
      () => files.list("/"),
      () => files.create(config.file),
      () => files.create("osiris-attack"),
    ]);
  },
  paths_in_sql({ config }) {
    const selects = [
      ...config.private.map((path) => `select * from read_text('${path}')`),
      "select * from '/etc/passwd'",
      "attach 'x.duckdb'",
      "copy (select 1) to '/tmp/osiris-attack'",
      "select 1; select 2",
      `select * from read_text('${config.file}')`,
    ];
    return all(selects.map((select) => () => [...sql.rows(select)]));
  },
  forged_batches({ output }) {
    const none = new Uint8Array();
    const word = new Uint8Array(8);
    const letters = Uint8Array.of(120, 120, 120, 120);
    const node = (length: number, ...buffers: Uint8Array[]) => ({ length, buffers });
    const forged: [object[], number, object[]][] = [
      [[field("u")], 1, [node(1, none, int32(0, 1 << 30), letters)]],
      [[field("u")], 1, [node(1, none, int32(-8, 4), letters)]],
      [[field("u")], 2, [node(2, none, int32(0, 4, 1), letters)]],
      [[field("u")], 1, [node(1, none, int32(0, 2), Uint8Array.of(0xff, 0xfe))]],
      [[field("l")], 1000, [node(1000, none, word)]],
      [[field("l")], 1, [node(2 ** 31, none, word)]],
      [[field("l")], 2 ** 32 - 1, [node(2 ** 32 - 1, none, word)]],
      [[field("l")], 1, []],
      [[field("l")], 1, [node(1)]],
      [[field("+l", 1), field("l")], 1, [node(1, none, int32(0, 99)), node(1, none, word)]],
    ];
    const append = (name: string, fields: object[], rows: number, nodes: object[]) => {
      const writer = table(output, name, fields);
      try {
        writer.append({ rows, nodes });
        return "was taken";
      } catch (error) {
        throw (error as { payload?: unknown }).payload ?? error;
      } finally {
        writer.finish();
      }
    };
    return all(forged.map(([fields, rows, nodes], place) => () => append(`forged_${place}`, fields, rows, nodes)));
  },
  addresses_that_are_not_granted({ config }) {
    const host = config.url.split("/")[2]!;
    const get = (url: string, headers = {}) => http.session(once).get(url, { headers }).text;
    const urls = [
      config.target,
      "http://169.254.169.254/latest/meta-data/",
      "file:///etc/passwd",
      `http://${host}/secret`,
      `${config.url}/../secret`,
      `${config.url}/%2e%2e/secret`,
      `http://${host}@${config.target.slice(7)}`,
      `${config.url}/redirect`,
      config.url.replace("127.0.0.1", "2130706433"),
    ];
    return all([
      ...urls.map((url) => () => get(url)),
      () => http.session({ baseUrl: config.url, ...once }).post("", { json: 1 }).text,
      () => get(config.url, { host: "internal.example" }),
      () => get(config.url, { x: "y\r\nhost: internal.example" }),
      () => get(config.url, { "transfer-encoding": "chunked", "content-length": "0" }),
    ]);
  },
  foreign_secrets: () => all(["", "/", "/file", "/key/x", "../key"].map((name) => () => secret(name))),
  secret_everywhere() {
    const key = secret("key")!;
    const bytes = [...key].map((letter) => letter.charCodeAt(0));
    const escaped = bytes.map((byte) => `%${byte.toString(16).toUpperCase()}`).join("");
    for (const shape of [key, base64(bytes), escaped, JSON.stringify(key), `xx${key}xx`]) {
      world.console?.log(shape);
      world.console?.error(shape);
      log.info(shape, { field: shape });
      metric(shape, 1);
    }
    return attempt(() => state.set({ key }));
  },

  // Prototypes that the SDK relies on, changed while it works.
  polluted_prototypes({ output, config }) {
    const objects = Object.prototype as unknown as Record<string, unknown>;
    const { includes } = Array.prototype;
    const { startsWith } = String.prototype;
    objects.kind = "denied";
    objects.duckdbType = "INTEGER); attach 'x'; --";
    objects.toJSON = () => ({ stolen: true });
    Array.prototype.includes = () => true;
    String.prototype.startsWith = () => true;
    try {
      return [
        attempt(() => output.write("polluted", [{ a: 1 }, { a: 2 }])),
        attempt(() => files.open(config.private[0]!).size),
        attempt(() => http.session(once).get(config.target).text),
      ];
    } finally {
      for (const name of ["kind", "duckdbType", "toJSON"]) delete objects[name];
      Array.prototype.includes = includes;
      String.prototype.startsWith = startsWith;
    }
  },
  finalizers({ inputs }) {
    const reader = inputs.only().batches();
    world.late = new (world.FinalizationRegistry ?? class {})(() => [...reader]);
    world.late.register?.({}, 1);
    world.later = Promise.resolve().then(() => [...reader].length);
    return "registered";
  },
};

function base64(bytes: number[]): string {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [a = 0, b = 0, c = 0] = bytes.slice(at, at + 3);
    const bits = (a << 16) | (b << 8) | c;
    text += [18, 12, 6, 0].map((shift) => digits[(bits >> shift) & 63]).join("");
  }
  return text.slice(0, Math.ceil((bytes.length * 4) / 3));
}

const modules = ["fs", "node:fs", "child_process", "os", "std", "qjs:os", "file:///etc/passwd", "http://169.254.169.254/"];

const fatal: Record<string, (step: Step) => unknown> = {
  import_modules: () => Promise.all(modules.map((name) => import(name))).then(() => undefined),
  memory() {
    for (const kept: Uint8Array[] = []; ;) kept.push(new Uint8Array(1 << 20).fill(1));
  },
  endless_loop() {
    for (;;);
  },
  endless_output() {
    for (;;) log.info("x".repeat(1000));
  },
  deep_recursion() {
    const deeper = (at: number): number[] => [at, ...deeper(at + 1)];
    return deeper(0);
  },
  use_after_drop({ inputs }) {
    const raw = inputs.only().raw as any;
    raw[Symbol.dispose]();
    return raw.rows();
  },
  secret_in_an_error() {
    throw new Error(`the key is ${secret("key")}`);
  },
  half_a_table({ output }) {
    const buffers = [new Uint8Array(), new Uint8Array(8)];
    table(output, "main", [field("l")]).append({ rows: 1, nodes: [{ length: 1, buffers }] });
  },
};

function tell(output: Output, rows: { attack: string; outcome: string }[]): void {
  const columns = { attack: rows.map((row) => row.attack), outcome: rows.map((row) => row.outcome) };
  output.append("main", Batch.of(columns, { attack: t.string, outcome: t.string }));
}

export const transform = processor<Config>((config, inputs, output) => {
  const step = { config, inputs, output };
  if (config.attack !== "all") return fatal[config.attack]!(step) as undefined;
  const rows: { attack: string; outcome: string | Promise<string> }[] = [];
  for (const [attack, act] of Object.entries(tried)) {
    let outcomes: unknown;
    try {
      outcomes = act(step);
    } catch (error) {
      outcomes = `escaped: ${failed(error)}`;
    }
    for (const outcome of [outcomes].flat()) rows.push({ attack, outcome: outcome as string });
  }
  const pending = rows.some((row) => row.outcome instanceof Promise);
  if (!pending) return tell(output, rows as { attack: string; outcome: string }[]);
  const settled = rows.map(async (row) => ({ attack: row.attack, outcome: await row.outcome }));
  return Promise.all(settled).then((told) => tell(output, told));
});
