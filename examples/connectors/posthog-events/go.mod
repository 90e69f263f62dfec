module example.com/posthog-events

go 1.24

require go.osiris.dev/sdk v0.2.0

replace go.osiris.dev/sdk => ../../../sdk/go
