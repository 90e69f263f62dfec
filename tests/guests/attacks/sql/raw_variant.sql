-- Makes a variant of bytes that no encoder made.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select variant_bytes_to_variant('\xff\xff\xff\xff\xff\xff\xff\xff'::blob)
