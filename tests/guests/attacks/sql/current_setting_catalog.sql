-- Reads a setting by the function's full name.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select system.main.current_setting('allowed_paths')
