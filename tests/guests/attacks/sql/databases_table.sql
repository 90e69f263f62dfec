-- Reads the paths of the databases.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select path from duckdb_databases()
