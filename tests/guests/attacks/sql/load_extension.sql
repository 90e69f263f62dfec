-- Loads native code from a file.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
load '/tmp/osiris-attack.duckdb_extension'
