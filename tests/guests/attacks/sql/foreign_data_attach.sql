-- Attaches another step's data file.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
attach 'SESSION/data/theirs.duckdb' as theirs (read_only)
