-- Reads its own input's file, byte by byte.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: system
select * from read_blob('SESSION/data/source.duckdb')
