-- Switches external access on.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set enable_external_access = true
