/// <reference path="../contract/osiris-driver-context.d.ts" preserve="true" />
/// <reference path="../contract/osiris-driver-files.d.ts" preserve="true" />
/// <reference path="../contract/osiris-driver-secrets.d.ts" preserve="true" />
/// <reference path="../contract/osiris-driver-sql.d.ts" preserve="true" />
/// <reference path="../contract/osiris-driver-state.d.ts" preserve="true" />
/// <reference path="../contract/osiris-driver-tables.d.ts" preserve="true" />
/// <reference path="../contract/osiris-driver-tcp.d.ts" preserve="true" />

/**
 * Finds the other side of the contract: the host inside a component, or a fake host in a native test.
 * Nothing else in the package touches the contract's imports; the types are generated from the WIT.
 */

/** The interfaces of the contract; those that the driver's spec must request are missing if it does not. */
export interface Host {
  context: typeof import("osiris:driver/context@0.2.0");
  secrets: typeof import("osiris:driver/secrets@0.2.0");
  sql: typeof import("osiris:driver/sql@0.2.0");
  files: typeof import("osiris:driver/files@0.2.0");
  tcp?: typeof import("osiris:driver/tcp@0.2.0");
  state?: typeof import("osiris:driver/state@0.2.0");
  http?: Http;
  randomBytes?: (length: number) => Uint8Array;
}

/** How requests leave, and how the driver waits. */
export interface Http {
  send(request: Outgoing): Incoming;
  sleep(ms: number): void;
}

export interface Outgoing {
  method: string;
  url: string;
  headers: [string, string][];
  body: Uint8Array | null;
  /** Milliseconds until the first byte and between bytes. */
  timeout: number;
  connectTimeout: number;
  totalTimeout: number;
  maxBytes: number;
}

export interface Incoming {
  status: number;
  headers: [string, string][];
  body: Uint8Array;
}

let current: Host | undefined;

/** Makes `host` the one that the driver talks to. A built driver does this at its start, `testing.run` for each run. */
export function provide(host: Host | undefined): void {
  current = host;
}

/** The host that the driver talks to. */
export function host(): Host {
  if (!current)
    throw new Error("there is no host: run the driver with `run` of `@osiris/sdk/testing`, or build it as a component");
  return current;
}
