-- Installs an extension, which is native code.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
install httpfs
