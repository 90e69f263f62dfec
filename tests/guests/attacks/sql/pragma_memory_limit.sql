-- Raises the memory limit through a PRAGMA.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
pragma memory_limit = '1TB'
