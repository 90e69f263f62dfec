-- Describes a table that it may not read.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from (describe osiris_input_0.main.main)
