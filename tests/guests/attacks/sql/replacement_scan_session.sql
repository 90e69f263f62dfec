-- Names a file of the session where a table stands.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from 'BASE/pipeline.json'
