-- Names another step's table.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from theirs
