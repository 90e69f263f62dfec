-- Points DuckDB to extensions of its own.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set extension_directory = '/tmp'
