-- Puts a file name in place of a table name.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from '/etc/passwd'
