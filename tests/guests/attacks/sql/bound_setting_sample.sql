-- Reveals a setting in the error of binding a sample.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select 1 as a offset current_setting('temp_directory')::bigint
