-- Raises the memory limit by its other name.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set global max_memory = '1TB'
