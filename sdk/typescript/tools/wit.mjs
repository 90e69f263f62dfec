/** npm packs no links, so the contract's WIT is copied into the package while it is packed: `wit.mjs copy`, `wit.mjs link`. */

import { cpSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const wit = join(root, "wit");
rmSync(wit, { recursive: true, force: true });
if (process.argv[2] === "copy") cpSync(join(root, "../../wit"), wit, { recursive: true });
else symlinkSync("../../wit", wit);
