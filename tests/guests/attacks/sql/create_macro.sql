-- Defines a function that hides one of DuckDB's.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
create macro count(x) as 1
