-- Has DuckDB bind a statement in a text.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select json_serialize_plan('select current_setting(''temp_directory'')')
