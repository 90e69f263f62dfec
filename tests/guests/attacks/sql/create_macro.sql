-- Puts a function of its own before DuckDB's.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
create macro count(x) as 1
