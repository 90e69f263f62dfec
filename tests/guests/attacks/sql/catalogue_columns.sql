-- Lists the columns of all attached tables.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select table_name, column_name from duckdb_columns() where not internal
