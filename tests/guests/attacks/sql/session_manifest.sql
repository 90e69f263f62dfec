-- Reads the session's manifest.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_text('SESSION/manifest.yaml')
