/// <reference path="./osiris-driver-errors.d.ts" />
declare module 'osiris:driver/tcp@0.2.0' {
  /**
   * Connects. `host` and `port` must be written as in the grant. Fails with `denied` if they
   * were not granted or resolve to an address that is not allowed, with `transient` if the
   * server cannot be reached, and with `timeout` after `timeout-ms`.
   */
  export function connect(host: string, port: number, timeoutMs: number): Connection;
  export type Error = import('osiris:driver/errors@0.2.0').Error;
  /**
   * How the server's identity is verified.
   * # Variants
   * 
   * ## `"none"`
   * 
   * Not at all: the stream is only encrypted.
   * ## `"full"`
   * 
   * Its certificate must chain to a trusted root and contain the host's name.
   */
  export type Verify = 'none' | 'full';
  export interface TlsOptions {
    verify: Verify,
    /**
     * The name that the certificate must contain; by default the host of the connection.
     */
    serverName?: string,
    /**
     * Trusted roots as PEM, instead of the machine's own.
     */
    ca?: string,
  }
  
  export class Connection implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * How long a read or a write may wait, in milliseconds; initially 60,000.
    */
    setTimeout(timeoutMs: number): void;
    /**
    * Waits for at least one byte and returns the bytes that have arrived, at most `length`
    * (and at most 1 MiB); returns an empty list once the server has ended the stream. Fails
    * with `transient` if the connection breaks, and with `timeout`.
    */
    read(length: number): Uint8Array;
    /**
    * Sends all the bytes. Fails as `read` does.
    */
    write(bytes: Uint8Array): void;
    /**
    * Encrypts the stream from here on (TLS 1.2 or 1.3). Fails with `auth` if the server
    * cannot prove its identity, and with `transient` if it does not support TLS.
    */
    startTls(options: TlsOptions): void;
    /**
    * The digest of the server's certificate: SHA-256, or the hash that the certificate's own
    * signature uses if that is stronger. This is the `tls-server-end-point` of RFC 5929, by
    * which SCRAM binds a login to its channel. `none` before `start-tls`.
    */
    serverEndPoint(): Uint8Array | undefined;
    [Symbol.dispose](): void;
  }
}
