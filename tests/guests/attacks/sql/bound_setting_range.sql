-- Reveals a setting in the error of binding an argument.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from range(current_setting('temp_directory')::bigint)
