-- Reads its input's file past the table it was given.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from osiris_input_0.main.main
