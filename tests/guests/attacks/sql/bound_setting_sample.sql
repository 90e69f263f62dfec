-- Has an error show a setting, by binding a sample.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select 1 as a offset current_setting('temp_directory')::bigint
