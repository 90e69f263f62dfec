-- Nests data deeper than any stack allows.
-- stopped by: limits
-- seen as: crash: while it worked for driver
-- alone: limits
select json_structure(repeat('[', 3000000) || repeat(']', 3000000)) as a
