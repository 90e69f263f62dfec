-- Lists the attached databases.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
show databases
