-- Copies rows to a file.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
copy (select 1) to '/tmp/osiris-attack'
