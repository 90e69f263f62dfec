/** What the start of a built component needs; the build generates a module that calls it. */

export { useWideNumbers } from "./context.js";
export { provide } from "./host.js";
export { wasiHttp } from "./http/wasi.js";
