-- Uses a type from the host's own catalogue.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select 'x'::osiris_output.main.mood
