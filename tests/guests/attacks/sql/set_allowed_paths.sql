-- Allows itself to read the whole disk.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
set allowed_directories = ['/']
