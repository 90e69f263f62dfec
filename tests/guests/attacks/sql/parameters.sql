-- Leaves a parameter unbound.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select $1
