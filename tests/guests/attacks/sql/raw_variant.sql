-- Builds a variant from bytes that no encoder produced.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select variant_bytes_to_variant('\xff\xff\xff\xff\xff\xff\xff\xff'::blob)
