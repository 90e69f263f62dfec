declare module 'osiris:driver/arrow@0.2.0' {
  /**
   * One field: a column, or a part of a nested column.
   */
  export interface Field {
    name: string,
    /**
     * Arrow's format string, from the table above.
     */
    format: string,
    nullable: boolean,
    /**
     * The number of this field's direct children among the fields that follow.
     */
    children: number,
    /**
     * Arrow's field metadata. `ARROW:extension:name` names a type that Arrow does not have
     * (such as `arrow.uuid`). `osiris.duckdb_type` is DuckDB's own type if Arrow's type says
     * less (an ENUM is passed as text). If a driver passes a column on unchanged, it should
     * pass both on unchanged.
     */
    metadata: Array<[string, string]>,
  }
  /**
   * A table's schema: its fields in pre-order, each parent directly before its children. The
   * table's columns are the fields without a parent, in order.
   */
  export interface Schema {
    fields: Array<Field>,
  }
  /**
   * The values of one field: a node for each field of the schema, in the same order.
   */
  export interface Node {
    /**
     * The number of values. For a column, the batch's rows; for a list's child, the values of
     * all its lists together.
     */
    length: number,
    /**
     * The buffers of the field's type in Arrow's order, little-endian: for most types the
     * validity bitmap, then the values; for `u` and `z` the validity bitmap, the 32-bit
     * offsets and the bytes; for `+l` and `+m` the validity bitmap and the 32-bit offsets; for
     * `+s` and `+w` only the validity bitmap; for `+us` only the type ids; for `n` none. Only
     * the validity bitmap says which values are null; if it is empty, none is. Every array
     * starts at offset 0. The alignment of fixed-width values depends on the receiving
     * language's allocator, so copy or check them before reading them in place.
     */
    buffers: Array<Uint8Array>,
  }
  /**
   * A batch of a table's rows, column by column.
   */
  export interface Batch {
    rows: number,
    nodes: Array<Node>,
  }
}
