module seeded

go 1.24

require go.osiris.dev/sdk v0.0.0

replace go.osiris.dev/sdk => ../../../../sdk/go
