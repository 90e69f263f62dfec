package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/osiristest"
)

func TestAllPagesAreRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok" {
			w.WriteHeader(401)
		} else if r.FormValue("page") == "2" {
			fmt.Fprint(w, `{"items": [{"id": 3}], "next": null}`)
		} else {
			fmt.Fprint(w, `{"items": [{"id": 1}, {"id": 2}], "next": 2}`)
		}
	}))
	defer server.Close()
	step := osiristest.Step{Config: Config{URL: server.URL, Size: 2}, Secrets: map[string]string{"/token": "tok"}}
	if records := step.Run(t).Records(t, "main"); len(records) != 3 || string(records[2]) != `{"id": 3}` {
		t.Errorf("%s", records)
	}
	step.Secrets = nil
	if failed := step.Try(t).Err; failed == nil || failed.Kind != osiris.KindAuth {
		t.Error(failed)
	}
}
