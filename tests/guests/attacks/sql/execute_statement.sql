-- Runs a statement that it prepared.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
execute x
