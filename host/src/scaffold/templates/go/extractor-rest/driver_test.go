package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/osiristest"
)

func serve(t *testing.T) osiristest.Step {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer hunter2":
			w.WriteHeader(http.StatusUnauthorized)
		case r.FormValue("page") == "2":
			fmt.Fprint(w, `{"items": [{"id": 3}], "next": null}`)
		default:
			fmt.Fprint(w, `{"items": [{"id": 1}, {"id": 2}], "next": 2}`)
		}
	}))
	t.Cleanup(server.Close)
	config := Config{PageSize: 2}
	config.Connection.URL = server.URL
	return osiristest.Step{Config: config, Secrets: map[string]string{"/connection/token": "hunter2"}}
}

func TestAllPagesAreRead(t *testing.T) {
	records := serve(t).Run(t).Records(t, "main")
	if len(records) != 3 || string(records[2]) != `{"id": 3}` {
		t.Errorf("%s", records)
	}
}

func TestARefusedTokenIsAnError(t *testing.T) {
	step := serve(t)
	step.Secrets = nil
	if failed := step.Try(t).Err; failed == nil || failed.Kind != osiris.KindAuth {
		t.Error(failed)
	}
}
