/** Generates `contract/` from the WIT: the types of the interfaces that the SDK calls. */

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = mkdtempSync(join(tmpdir(), "osiris-types-"));
const version = (file) => /^package [\w:-]+@([^;]+);/m.exec(readFileSync(join(root, "wit", file), "utf8"))[1];
try {
  const [contract, wasi] = [version("driver.wit"), version("deps/http.wit")];
  const exports = ["extract", "transform", "load", "discover", "check"].map(
    (name) => `export osiris:driver/${name}@${contract};`,
  );
  const imports = ["http/types", "http/outgoing-handler", "clocks/monotonic-clock"].map(
    (name) => `import wasi:${name}@${wasi};`,
  );
  const wit = join(folder, "wit");
  mkdirSync(join(wit, "deps"), { recursive: true });
  cpSync(join(root, "wit/deps"), join(wit, "deps"), { recursive: true });
  cpSync(join(root, "wit/driver.wit"), join(wit, "deps/osiris-driver.wit"));
  writeFileSync(
    join(wit, "world.wit"),
    `package built:driver;\nworld driver { include osiris:driver/granted@${contract}; ${[...imports, ...exports].join(" ")} }\n`,
  );
  const done = spawnSync(
    "npx",
    ["jco", "guest-types", wit, "--world-name", "driver", "--out-dir", join(folder, "out")],
    { cwd: root, stdio: "inherit" },
  );
  if (done.status !== 0) process.exit(1);
  rmSync(join(root, "contract"), { recursive: true, force: true });
  cpSync(join(folder, "out/interfaces"), join(root, "contract"), { recursive: true });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
