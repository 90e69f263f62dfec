-- Runs VACUUM.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
vacuum
