module go.osiris.dev/sdk

go 1.24
