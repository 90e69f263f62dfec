-- Reads DuckDB's secrets.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from duckdb_secrets()
