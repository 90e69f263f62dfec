-- Changes the catalogue in which names are looked up.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
use osiris_input_0
