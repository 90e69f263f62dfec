-- Installs a community extension.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
install quack from community
