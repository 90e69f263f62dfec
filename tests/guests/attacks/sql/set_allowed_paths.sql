-- Allows itself the whole disk.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set allowed_directories = ['/']
