-- Lists folders.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb
select * from glob('/etc/*')
