-- Names a file where a table stands.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from '/etc/passwd'
