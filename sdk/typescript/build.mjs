#!/usr/bin/env node
/**
 * Builds a driver's module into a component: `osiris-build driver.ts --output driver.wasm`.
 *
 * The exports are those of the module. The imports are those of the contract that every driver has, and those of the
 * grants that `--grants http,connect,state` names, which the driver's spec must request. QuickJS runs the driver; with
 * `--engine starlingmonkey` it is StarlingMonkey, which has `fetch` and is ten times as large.
 */

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const WIT = join(HERE, "wit");
const EXPORTS = ["extract", "transform", "load", "check", "discover"];
const GRANTS = ["http", "connect", "state"];
const HTTP = ["http/types", "http/outgoing-handler", "clocks/monotonic-clock", "io/poll"];

const fail = (message) => {
  console.error(`error: ${message}`);
  process.exit(2);
};

const versionOf = (file) => /^package [\w:-]+@([^;]+);/m.exec(readFileSync(join(WIT, file), "utf8"))[1];

/**
 * componentize-qjs takes part of its own WASI from the machine when it prepares a component, and refuses other interfaces
 * that share resources with it. So the driver's WASI has another namespace until the component is finished, and another
 * version than the engine's, as no interface may be imported twice.
 */
const HIDDEN = "qasi";
function hiddenVersion(version) {
  const [major, minor, patch] = version.split(".");
  return [major, minor, String(Number(patch) - 1).padStart(patch.length, "0")].join(".");
}

/** What the driver exports, found by bundling it. */
async function exportsOf(module, alias) {
  const { metafile } = await build({
    entryPoints: [module],
    bundle: true,
    format: "esm",
    write: false,
    metafile: true,
    outdir: ".",
    alias,
    logLevel: "error",
  });
  const found = Object.values(metafile.outputs)[0].exports.filter((name) => EXPORTS.includes(name));
  if (!found.some((name) => ["extract", "transform", "load"].includes(name)))
    fail(`\`${module}\` does not export \`extract\`, \`transform\` or \`load\``);
  return found;
}

function world(exports, grants, contract, wasi, namespace) {
  const imports = [
    `${namespace}:random/random@${wasi}`,
    ...(grants.includes("http") ? HTTP.map((name) => `${namespace}:${name}@${wasi}`) : []),
    ...(grants.includes("connect") ? [`osiris:driver/tcp@${contract}`] : []),
    ...(grants.includes("state") ? [`osiris:driver/state@${contract}`] : []),
  ];
  const lines = [
    `include osiris:driver/imports@${contract};`,
    ...imports.map((name) => `import ${name};`),
    ...exports.map((name) => `export osiris:driver/${name}@${contract};`),
  ];
  return `package built:driver;\n\nworld driver {\n${lines.map((line) => `    ${line}\n`).join("")}}\n`;
}

/** The module at the component's start: it passes the contract's imports to the SDK, and the driver's exports on. */
function start(module, exports, grants, contract, wasi, namespace, wide) {
  const used = [
    "context",
    "secrets",
    "sql",
    "files",
    ...(grants.includes("connect") ? ["tcp"] : []),
    ...(grants.includes("state") ? ["state"] : []),
  ];
  const http = grants.includes("http");
  return [
    ...used.map((name) => `import * as ${name} from "osiris:driver/${name}@${contract}";`),
    ...(http ? HTTP.map((name, at) => `import * as http${at} from "${namespace}:${name}@${wasi}";`) : []),
    `import * as random from "${namespace}:random/random@${wasi}";`,
    `import { provide, useWideNumbers, wasiHttp } from "@osiris/sdk/component";`,
    `const randomBytes = (length) => random.getRandomBytes(${wide ? "BigInt(length)" : "length"});`,
    `provide({ ${used.join(", ")}, randomBytes${http ? `, http: wasiHttp(http0, http1, http2, http3, ${wide})` : ""} });`,
    ...(wide ? ["useWideNumbers();"] : []),
    `export { ${exports.join(", ")} } from ${JSON.stringify(module)};`,
  ].join("\n");
}

/** For each line of a bundle in `base` the file and the line that it comes from, out of its source map. */
function placesOf(map, base) {
  const { mappings, sources } = JSON.parse(map);
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let source = 0;
  let line = 0;
  return mappings.split(";").map((segments) => {
    let first = null;
    for (const segment of segments.split(",").filter(Boolean)) {
      const numbers = [];
      let value = 0;
      let shift = 0;
      for (const digit of segment) {
        const bits = digits.indexOf(digit);
        value |= (bits & 31) << shift;
        shift += 5;
        if (bits & 32) continue;
        numbers.push(value & 1 ? -(value >> 1) : value >> 1);
        value = shift = 0;
      }
      if (numbers.length < 4) continue;
      source += numbers[1];
      line += numbers[2];
      // The SDK's own lines say nothing to the driver's author.
      const file = resolve(base, sources[source]);
      if (!first && !file.startsWith(HERE + "/src") && !file.startsWith(HERE + "/dist"))
        first = [basename(file), line + 1];
    }
    return first;
  });
}

function witFolder(folder, text, namespace, wasi) {
  mkdirSync(join(folder, "wit", "deps"), { recursive: true });
  writeFileSync(join(folder, "wit", "world.wit"), text);
  const hide = (file, to) => {
    const original = readFileSync(join(WIT, file), "utf8");
    const shown = versionOf("deps/http.wit");
    writeFileSync(
      to,
      namespace === "wasi" ? original : original.replaceAll("wasi:", `${namespace}:`).replaceAll(shown, wasi),
    );
  };
  for (const file of readdirSync(join(WIT, "deps"))) hide(join("deps", file), join(folder, "wit", "deps", file));
  hide("driver.wit", join(folder, "wit", "deps", "osiris-driver.wit"));
  return join(folder, "wit");
}

function run(command, parameters) {
  const done = spawnSync(process.execPath, [command, ...parameters], { encoding: "utf8" });
  if (done.status !== 0) fail(`the component cannot be made: ${`${done.stderr}${done.stdout}`.trim()}`);
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      output: { type: "string" },
      engine: { type: "string", default: "quickjs" },
      grants: { type: "string", default: "" },
    },
  });
  const [module] = positionals;
  if (!module || positionals.length > 1)
    fail(
      "usage: osiris-build driver.ts [--output driver.wasm] [--grants http,connect,state] [--engine quickjs|starlingmonkey]",
    );
  if (!["quickjs", "starlingmonkey"].includes(values.engine))
    fail(`\`${values.engine}\` is not an engine; the engines are quickjs and starlingmonkey`);
  const quick = values.engine === "quickjs";
  const output = resolve(values.output ?? module.replace(/\.[cm]?[jt]s$/, ".wasm"));
  const grants = values.grants.split(",").filter(Boolean);
  for (const grant of grants)
    if (!GRANTS.includes(grant))
      fail(`\`${grant}\` is not a grant that needs an import; those are ${GRANTS.join(", ")}`);
  const alias = { "@osiris/sdk": join(HERE, "src/index.ts"), "@osiris/sdk/component": join(HERE, "src/component.ts") };
  try {
    readFileSync(alias["@osiris/sdk"]);
  } catch {
    for (const name of Object.keys(alias))
      alias[name] = alias[name].replace("/src/", "/dist/src/").replace(/\.ts$/, ".js");
  }
  const contract = versionOf("driver.wit");
  const wasi = quick ? hiddenVersion(versionOf("deps/http.wit")) : versionOf("deps/http.wit");
  const namespace = quick ? HIDDEN : "wasi";
  const folder = mkdtempSync(join(tmpdir(), "osiris-build-"));
  try {
    const exports = await exportsOf(resolve(module), alias);
    // Every path in the bundle is relative to the module's folder, so that one source gives one component anywhere.
    const base = dirname(resolve(module));
    const { outputFiles } = await build({
      stdin: {
        contents: start(`./${basename(module)}`, exports, grants, contract, wasi, namespace, !quick),
        resolveDir: base,
        sourcefile: "start.js",
      },
      absWorkingDir: base,
      bundle: true,
      format: "esm",
      target: "es2022",
      charset: "utf8",
      write: false,
      outfile: join(base, "osiris-driver.js"),
      sourcemap: "external",
      alias,
      external: ["osiris:*", `${namespace}:*`],
      logLevel: "error",
    });
    const text = (name) => outputFiles.find((file) => file.path.endsWith(name)).text;
    const places = placesOf(text("osiris-driver.js.map"), base);
    const script = join(folder, "driver.js");
    writeFileSync(script, `${text("osiris-driver.js")}\nglobalThis.osirisPlaces = ${JSON.stringify(places)};\n`);
    const wit = witFolder(folder, world(exports, grants, contract, wasi, namespace), namespace, wasi);
    const made = join(folder, "made.wasm");
    const require = createRequire(import.meta.url);
    if (quick) {
      run(join(dirname(require.resolve("componentize-qjs")), "cli.mjs"), [
        "--wit",
        wit,
        "--js",
        script,
        "--world",
        "driver",
        "--sync",
        "--output",
        made,
      ]);
      const bytes = readFileSync(made);
      for (let at = bytes.indexOf(`${HIDDEN}:`); at >= 0; at = bytes.indexOf(`${HIDDEN}:`, at)) bytes.write("wasi", at);
      writeFileSync(made, bytes);
    } else {
      // `--disable all` would freeze the clock and the random numbers.
      run(join(dirname(require.resolve("@bytecodealliance/jco")), "jco.js"), [
        "componentize",
        script,
        "--wit",
        wit,
        "--world-name",
        "driver",
        "--disable",
        ...(grants.includes("http") ? [] : ["http"]),
        "fetch-event",
        "--out",
        made,
      ]);
    }
    mkdirSync(dirname(output), { recursive: true });
    copyFileSync(made, output);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
