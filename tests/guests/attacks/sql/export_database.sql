-- Exports the database.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
export database '/tmp/osiris-attack'
