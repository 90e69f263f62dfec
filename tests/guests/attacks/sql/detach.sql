-- Detaches its output.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
detach osiris_output
