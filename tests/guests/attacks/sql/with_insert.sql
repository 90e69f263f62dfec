-- Hides a change in a SELECT.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
with x as (insert into osiris_input_0.main.main values (1) returning *) select * from x
