-- Drops its own input.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
drop table osiris_input_0.main.main
