-- Raises the one setting that DuckDB's lock leaves open, which is the host's.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set memory_limit = '1TB'
