-- Prepares a statement for later.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb
prepare x as copy (select 1) to '/tmp/osiris-attack'
