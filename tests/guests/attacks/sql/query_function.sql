-- Runs text as SQL.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from query('select * from duckdb_settings()')
