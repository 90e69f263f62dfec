-- Reads the paths of the databases deep inside a SELECT.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select (select min(path) from system.main.duckdb_databases()) from source where exists (select 1)
