-- Lists tables through the standard's information schema.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select table_catalog, table_name from information_schema.tables
