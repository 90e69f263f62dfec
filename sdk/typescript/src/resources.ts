/**
 * Drops the host's readers and writers before the input or the output that they belong to, as the component model
 * requires. A garbage collector knows no such order, least of all after an exception.
 */

interface Resource {
  [Symbol.dispose]?(): void;
}

const open = new Set<Resource>();

/** Notes a reader or a writer that must be dropped. */
export function opened<T extends object>(raw: T): T {
  open.add(raw);
  return raw;
}

/** Drops it, unless that was done already. */
export function drop(raw: Resource): void {
  if (open.delete(raw)) raw[Symbol.dispose]?.();
}

/** Drops all that are left. The SDK calls this when the driver has returned or failed. */
export function dropAll(): void {
  for (const raw of [...open].reverse()) drop(raw);
}
