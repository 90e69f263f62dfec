-- Raises the memory limit by PRAGMA, which becomes a SELECT for some.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
pragma memory_limit = '1TB'
