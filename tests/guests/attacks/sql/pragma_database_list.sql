-- Lists databases by PRAGMA, with their paths.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
pragma database_list
