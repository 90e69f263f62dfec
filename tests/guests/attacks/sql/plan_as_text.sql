-- Makes DuckDB bind a statement that is in a text.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select json_serialize_plan('select current_setting(''temp_directory'')')
