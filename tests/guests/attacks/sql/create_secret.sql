-- Stores a secret of its own.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb, system
create persistent secret x (type s3, key_id 'a', secret 'b')
