-- Runs a prepared statement.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
execute x
