-- Lists what is attached.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
show databases
