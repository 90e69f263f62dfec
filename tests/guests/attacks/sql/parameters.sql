-- Leaves a parameter for nobody to bind.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select $1
