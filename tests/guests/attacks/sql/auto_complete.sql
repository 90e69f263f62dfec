-- Has DuckDB complete the names of tables.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from sql_auto_complete('select * from ')
