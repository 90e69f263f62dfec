-- Hides a catalogue's name behind a common table expression that is not in scope there.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select (with pg_class as (select 1) select count(*) from pg_class) as a, (select count(*) from pg_class) as b
