-- Imports a database, which runs its script.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
import database '/etc'
