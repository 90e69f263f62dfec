-- Reads a file as CSV.
-- stopped by: duckdb, then system
-- seen as: internal: refused
-- alone: duckdb, system
select * from read_csv('/etc/passwd', header = false, columns = {'a': 'VARCHAR'}, delim = '\0')
