declare module 'osiris:driver/secrets@0.2.0' {
  /**
   * The secret in a field of the config, named by its JSON pointer: `/key`,
   * `/connection/password`, `/headers/X-Api-Key`. If no name in the path contains a dot, `key`
   * and `connection.password` mean the same. `none` if the step has no secret there.
   */
  export function get(name: string): Secret | undefined;
  /**
   * The JSON pointers of the step's secrets at or below the field `below`, such as `/headers`;
   * an empty text means all secrets.
   */
  export function list(below: string): Array<string>;
  
  export class Secret implements Disposable {
    /**
     * This type does not have a public constructor.
     */
    private constructor();
    /**
    * The value. Drop it as soon as it has been used.
    */
    reveal(): string;
    [Symbol.dispose](): void;
  }
}
