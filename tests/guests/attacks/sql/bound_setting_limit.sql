-- Reveals a setting in the error of binding a LIMIT.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select 1 limit current_setting('temp_directory')::bigint
