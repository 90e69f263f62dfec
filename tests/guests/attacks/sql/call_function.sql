-- Calls a function as a statement.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
call duckdb_settings()
