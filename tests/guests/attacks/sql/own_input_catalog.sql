-- Reads another table in the file of its input.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from osiris_input_0.main.main
