-- Sends two statements.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select 1; attach '/tmp/osiris-attack.duckdb' as x
