-- Names a type of the host's own catalog.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select 'x'::osiris_output.main.mood
