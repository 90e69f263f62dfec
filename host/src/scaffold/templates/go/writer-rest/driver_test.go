package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/osiristest"
)

type order struct {
	Product  string `col:"product" json:"product"`
	Quantity int64  `col:"quantity" json:"quantity"`
}

var orders = []order{{"tea", 2}, {"žito", 1}}

// send runs the driver against a server that answers with a status; returns what the server received.
func send(t *testing.T, status int) (received []order, failed *osiris.Error) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var row order
		if r.Method == "POST" && r.URL.Path == "/orders" && json.NewDecoder(r.Body).Decode(&row) == nil {
			received = append(received, row)
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	config := Config{}
	config.Connection.URL = server.URL
	step := osiristest.Step{Config: config, Inputs: []osiristest.Input{osiristest.Table(t, "orders", orders...)}}
	failed = step.Try(t).Err
	return received, failed
}

func TestEachRowIsSent(t *testing.T) {
	if received, failed := send(t, http.StatusCreated); failed != nil || !slices.Equal(received, orders) {
		t.Error(received, failed)
	}
}

func TestARefusedRowIsAnError(t *testing.T) {
	if received, failed := send(t, http.StatusUnprocessableEntity); failed == nil || failed.Kind != osiris.KindConfig || len(received) != 1 {
		t.Error(received, failed)
	}
}
