-- Reads a setting that contains a path.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select current_setting('temp_directory')
