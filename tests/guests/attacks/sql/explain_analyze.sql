-- Runs a statement by explaining it.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
explain analyze select 1
