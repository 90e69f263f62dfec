/** Bundles the tests of a folder and runs them with node's own runner: `run-tests.mjs [FOLDER]`, by default the SDK's own. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const from = resolve(process.argv[2] ?? join(root, "tests"));
const folder = mkdtempSync(join(tmpdir(), "osiris-tests-"));
try {
  const tests = readdirSync(from).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: tests.map((name) => join(from, name)),
    bundle: true,
    platform: "node",
    format: "esm",
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    sourcemap: "inline",
    alias: { "@osiris/sdk": join(root, "src/index.ts"), "@osiris/sdk/testing": join(root, "src/testing.ts") },
    logLevel: "error",
    define: { "import.meta.dirname": JSON.stringify(from) },
  });
  const files = tests.map((name) => join(folder, name.replace(/\.ts$/, ".mjs")));
  process.exitCode =
    spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
