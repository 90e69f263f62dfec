-- Reads a setting by the function's qualified name.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select system.main.current_setting('allowed_paths')
