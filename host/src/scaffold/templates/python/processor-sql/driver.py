"""Counts the rows of the input by a column, inside DuckDB."""

import osiris_sdk as osiris


@osiris.processor
def transform(config, inputs, output):
    osiris.sql.create_table(output, "main", query(config.by, inputs.only().sql_name))


def query(by, source):
    return f"select {osiris.sql.identifier(by)}, count(*) as rows from {source} group by all order by all"
