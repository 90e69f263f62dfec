/**
 * Write drivers for Osiris in TypeScript.
 *
 *     import { extractor } from "@osiris/sdk";
 *
 *     export const extract = extractor<{ names: string[] }>((config, output) => {
 *       output.write("main", config.names.map((name) => ({ greeting: `hello ${name}` })));
 *     });
 *
 * The exports of the module are the driver's: `extract`, `transform` or `load`, and `check` and `discover` beside them.
 */

export { Batch } from "./batch.js";
export {
  attempt,
  files,
  log,
  metric,
  partition,
  progress,
  reject,
  secret,
  secretsBelow,
  sql,
  state,
  stepId,
  tcp,
} from "./context.js";
export { checks, discovers, extractor, processor, writer, type CatalogTable, type Config } from "./drivers.js";
export {
  authError,
  configError,
  dataError,
  deniedError,
  internalError,
  limitError,
  notFoundError,
  OsirisError,
  otherError,
  rateLimitedError,
  timeoutError,
  transientError,
  type Kind,
} from "./errors.js";
export * as http from "./http/index.js";
export { ExactNumber, type Json } from "./json.js";
export { randomBytes } from "./random.js";
export { Input, Inputs, Output, Reader, Table } from "./tables.js";
export { t, type Declared, type Interval, type Tagged, type Type } from "./types.js";
export { decodeUtf8, encodeUtf8 } from "./utf8.js";
