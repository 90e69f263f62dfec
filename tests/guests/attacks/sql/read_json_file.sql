-- Reads a file as JSON.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_json('BASE/pipeline.yaml')
