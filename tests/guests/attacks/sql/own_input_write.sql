-- Writes to its own input.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
insert into osiris_input_0.main.main values (2)
