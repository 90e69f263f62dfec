/** Counts the rows of the input by a column, inside DuckDB. */

import { processor, sql } from "@osiris/sdk";

export const transform = processor<{ by: string }>((config, inputs, output) => {
  sql.createTable(output, "main", query(config.by, inputs.only().sqlName));
});

export const query = (by: string, source: string): string =>
  `select ${sql.identifier(by)}, count(*) as rows from ${source} group by all order by all`;
