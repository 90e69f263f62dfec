-- Lists databases and their paths through a PRAGMA.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
pragma database_list
