-- Creates a database elsewhere.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
attach '/tmp/osiris-attack.duckdb' as x
