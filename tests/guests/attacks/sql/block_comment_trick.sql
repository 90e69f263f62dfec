-- Hides a statement between comments.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select 1 /* ; */ ; /* */ copy (select 1) to '/tmp/osiris-attack'
