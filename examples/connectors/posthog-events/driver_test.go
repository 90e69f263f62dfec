package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/osiristest"
)

// api answers with one page for each list of events, and records the queries.
type api struct {
	pages   [][]string
	queries []string
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	if r.URL.Path == "/api/projects/7/" {
		answer.WriteString(`{"name": "Shop"}`)
	} else {
		a.queries = append(a.queries, r.URL.Query().Get("after"))
		page := a.pages[0]
		a.pages = a.pages[1:]
		next := "null"
		if len(a.pages) > 0 {
			next = `"https://eu.posthog.com/api/projects/7/events?offset=2"`
		}
		answer.WriteString(`{"results": [` + strings.Join(page, ",") + `], "next": ` + next + `}`)
	}
	response := answer.Result()
	response.Request = r
	return response, nil
}

func event(id, at string) string {
	return `{"id": "018d5f00-0000-7000-8000-00000000000` + id + `", "event": "signed_up", "distinct_id": "u` + id +
		`", "timestamp": "2024-01-31T` + at + `Z", "properties": {"n": 12345678901234567890}}`
}

func run(t *testing.T, state string, pages ...[]string) (osiristest.Result, *api) {
	t.Helper()
	served := &api{pages: pages}
	before := http.DefaultTransport
	http.DefaultTransport = served
	defer func() { http.DefaultTransport = before }()
	config := Config{Region: "eu", ProjectID: 7, Incremental: true, Overlap: 60, PageSize: 2}
	return osiristest.Step{Config: config, State: state, KeepsState: true}.Try(t), served
}

func ids(t *testing.T, r osiristest.Result) string {
	t.Helper()
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	var all strings.Builder
	for _, row := range osiristest.Rows[Event](t, r, "main") {
		id := row.ID.String()
		all.WriteString(id[len(id)-1:])
	}
	return all.String()
}

func TestEachRunReadsWhatArrivedSinceAndNothingTwice(t *testing.T) {
	first, _ := run(t, "", []string{event("3", "10:02:00.000001"), event("2", "10:01:30")}, []string{event("1", "10:00:00")})
	if got := ids(t, first); got != "321" {
		t.Error(got)
	}
	var state State
	if err := json.Unmarshal([]byte(first.State), &state); err != nil || len(state.Seen) != 2 {
		t.Errorf("the events of the overlap are remembered: %s", first.State)
	}
	// One event arrived late.
	second, served := run(t, first.State, []string{event("3", "10:02:00.000001"), event("4", "10:01:45"), event("2", "10:01:30")})
	if got := ids(t, second); got != "4" || served.queries[0] != "2024-01-31T10:01:00.000001Z" {
		t.Error(got, served.queries)
	}
	third, _ := run(t, second.State, []string{event("3", "10:02:00.000001"), event("4", "10:01:45"), event("2", "10:01:30")})
	if got := ids(t, third); got != "" || third.State != second.State {
		t.Error(got, third.State)
	}
}

func TestPropertiesKeepTheirDigits(t *testing.T) {
	result, _ := run(t, "", []string{event("1", "10:00:00")})
	if rows := osiristest.Rows[Event](t, result, "main"); string(rows[0].Properties) != `{"n": 12345678901234567890}` {
		t.Errorf("%s", rows[0].Properties)
	}
}

func TestAMalformedEventIsAnErrorOfTheData(t *testing.T) {
	result, _ := run(t, "", []string{`{"id": "no uuid"}`})
	if result.Err == nil || result.Err.Kind != osiris.KindData {
		t.Error(result.Err)
	}
}

func TestAProjectIsCheckedByItsName(t *testing.T) {
	before := http.DefaultTransport
	http.DefaultTransport = &api{}
	defer func() { http.DefaultTransport = before }()
	result := osiristest.Step{Config: Config{Region: "eu", ProjectID: 7}}.Check(t)
	if result.Server != "PostHog project `Shop`" {
		t.Error(result)
	}
}
