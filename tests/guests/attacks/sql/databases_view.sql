-- Reads the paths of the databases through a view.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select path from duckdb_databases
