-- Reads the version through a PRAGMA.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
pragma version
