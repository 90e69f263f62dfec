-- Changes a setting for its own session.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set local memory_limit = '1TB'
