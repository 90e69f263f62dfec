-- Hides the name of a catalogue behind a common table expression that is not in scope.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select (with pg_class as (select 1) select count(*) from pg_class) as a, (select count(*) from pg_class) as b
