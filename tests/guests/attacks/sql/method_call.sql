-- Calls a function as a method of a column.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select a.current_setting() from (select 'temp_directory' as a)
