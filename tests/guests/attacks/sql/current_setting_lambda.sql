-- Reads a setting inside a lambda.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select list_transform([1], x -> current_setting('temp_directory'))
