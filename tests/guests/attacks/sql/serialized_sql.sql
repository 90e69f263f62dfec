-- Runs serialised SQL.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select * from json_execute_serialized_sql('{}')
