-- Forces a checkpoint.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
force checkpoint
