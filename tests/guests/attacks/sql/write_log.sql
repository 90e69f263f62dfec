-- Writes to DuckDB's log.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select write_log('x')
