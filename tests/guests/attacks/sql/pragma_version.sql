-- Asks by PRAGMA.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
pragma version
