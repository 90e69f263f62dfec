-- Makes DuckDB complete table names.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from sql_auto_complete('select * from ')
