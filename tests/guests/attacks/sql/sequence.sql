-- Takes a number from a sequence by its name in a text.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select nextval('osiris_output.main.s')
