-- Reads DuckDB's log.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from duckdb_logs
