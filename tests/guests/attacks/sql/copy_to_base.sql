-- Copies rows over the pipeline.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
copy (select 1) to 'BASE/pipeline.json'
