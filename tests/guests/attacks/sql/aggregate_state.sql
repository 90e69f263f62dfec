-- Finalises a forged aggregate state.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
select finalize('\x01\x02\x03\x04\x05\x06\x07\x08'::blob)
