-- Makes DuckDB write profiles to a file.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
pragma enable_profiling = 'json'
