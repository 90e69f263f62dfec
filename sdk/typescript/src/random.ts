/** Random numbers from the host. QuickJS seeds `Math.random` when a component is built, so all runs would have the same. */

import { host } from "./host.js";

/** Random bytes for keys, nonces and identifiers. */
export function randomBytes(length: number): Uint8Array {
  const { randomBytes: fromHost } = host();
  if (!fromHost) throw new Error("the fake host has no random bytes");
  return fromHost(length);
}

/** Gives `Math.random` a new seed of 16 bytes. The generator is sfc32 of PractRand. */
export function seedRandom(seed: Uint8Array): void {
  let [a = 0, b = 0, c = 0, d = 1] = new Int32Array(seed.slice(0, 16).buffer);
  const next = () => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 12; round++) next();
  Math.random = () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}
