-- Points DuckDB to its own extensions.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set extension_directory = '/tmp'
