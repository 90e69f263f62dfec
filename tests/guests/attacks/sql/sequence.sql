-- Takes a number from a sequence that it names in a text.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select nextval('osiris_output.main.s')
