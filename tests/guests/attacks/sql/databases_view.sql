-- Reads the databases' paths by a view.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select path from duckdb_databases
