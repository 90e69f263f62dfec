-- Changes the catalog that names are looked up in.
-- stopped by: duckdb
-- seen as: internal: refused
-- alone: duckdb
use osiris_input_0
