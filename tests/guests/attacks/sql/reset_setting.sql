-- Resets a setting.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
reset memory_limit
