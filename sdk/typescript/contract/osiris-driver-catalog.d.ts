declare module 'osiris:driver/catalog@0.2.0' {
  export interface Column {
    name: string,
    /**
     * The system's own name of the type.
     */
    sourceType: string,
    /**
     * The DuckDB type that the driver converts it to.
     */
    duckdbType: string,
    nullable: boolean,
  }
  export interface Table {
    /**
     * The schema or database; `none` if the system has none.
     */
    schema?: string,
    name: string,
    columns: Array<Column>,
    primaryKey: Array<string>,
    /**
     * The system's estimate of the number of rows.
     */
    estimatedRows?: bigint,
  }
}
