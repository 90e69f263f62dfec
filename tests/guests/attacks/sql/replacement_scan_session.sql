-- Puts the name of a session's file in place of a table name.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from 'BASE/pipeline.json'
