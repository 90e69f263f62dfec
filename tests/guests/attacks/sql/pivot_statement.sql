-- Hides several statements behind one PIVOT.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
pivot source on a using count(*)
