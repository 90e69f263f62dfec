-- Creates a database next to the pipeline.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
attach 'BASE/attack.duckdb' as x
