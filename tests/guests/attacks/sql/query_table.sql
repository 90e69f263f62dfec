-- Names a table in a text argument.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from query_table('osiris_input_0.main.main')
