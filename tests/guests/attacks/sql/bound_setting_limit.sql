-- Has an error show a setting, by binding a LIMIT.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select 1 limit current_setting('temp_directory')::bigint
