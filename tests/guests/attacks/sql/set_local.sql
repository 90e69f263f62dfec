-- Changes a setting for itself.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set local memory_limit = '1TB'
