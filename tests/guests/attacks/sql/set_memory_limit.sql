-- Raises the one setting that DuckDB's lock leaves open for the host.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set memory_limit = '1TB'
