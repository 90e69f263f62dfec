// An extractor of PostHog's events: all of a time range, or those that arrived since the last run.
package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/check"
	"go.osiris.dev/sdk/web"
)

type Config struct {
	Region      string
	ProjectID   int     `json:"project_id"`
	Event       *string `json:"event"`
	After       *string `json:"after"`
	Before      *string `json:"before"`
	Incremental bool    `json:"incremental"`
	Overlap     int     `json:"overlap"`
	PageSize    int     `json:"page_size"`
}

// Event is an event as PostHog returns it, and as the table has it.
type Event struct {
	ID         osiris.UUID     `json:"id" col:"id"`
	Event      string          `json:"event" col:"event"`
	DistinctID string          `json:"distinct_id" col:"distinct_id"`
	Timestamp  time.Time       `json:"timestamp" col:"timestamp"`
	Properties json.RawMessage `json:"properties" col:"properties"`
}

type Page struct {
	Results []Event
	Next    *string
}

// State is how far the last run has read: the newest time, and the events of the overlap before it.
type State struct {
	Newest time.Time                 `json:"newest"`
	Seen   map[osiris.UUID]time.Time `json:"seen"`
}

// maxSeen bounds the state.
const maxSeen = 10_000

func init() {
	osiris.Extractor(extract)
	check.Connection(connection)
}
func main() {}

func (c Config) address(path string) string {
	return fmt.Sprintf("https://%s.posthog.com/api/projects/%d/%s", c.Region, c.ProjectID, path)
}

func extract(c Config, out *osiris.Output) error {
	var last State
	if c.Incremental {
		var err error
		if last, _, err = osiris.State[State](); err != nil {
			return err
		}
	}
	table, err := osiris.NewTable[Event](out, "main")
	if err != nil {
		return err
	}
	state, read := State{last.Newest, map[osiris.UUID]time.Time{}}, uint64(0)
	// The host adds the key: the driver never sees it.
	for page, err := range web.Pages(&web.Client{}, c.first(last), next) {
		if err != nil {
			return err
		}
		for _, event := range page.Results {
			state.add(event, c.overlap())
		}
		fresh := slices.DeleteFunc(page.Results, func(e Event) bool { _, old := last.Seen[e.ID]; return old })
		if err := table.Add(fresh...); err != nil {
			return err
		}
		read += uint64(len(fresh))
		osiris.Progress(read, 0)
	}
	if !c.Incremental || state.Newest.IsZero() {
		return nil
	}
	if len(state.Seen) > maxSeen {
		return osiris.Errorf(osiris.KindConfig, "%d events are in the last %d s, but a state can name %d; set a shorter `overlap`",
			len(state.Seen), c.Overlap, maxSeen)
	}
	return osiris.SetState(state)
}

// first is the address of the first page. The end of the time range is fixed, so that an event that arrives while the
// driver reads moves none to another page, and so that a client's clock that is ahead does not become the newest time.
func (c Config) first(last State) string {
	address := web.With(c.address("events"), "limit", c.PageSize)
	before := time.Now().UTC().Format(time.RFC3339)
	if c.Before != nil {
		before = *c.Before
	}
	address = web.With(address, "before", before)
	if c.Event != nil {
		address = web.With(address, "event", *c.Event)
	}
	switch {
	case !last.Newest.IsZero():
		address = web.With(address, "after", last.Newest.Add(-c.overlap()).Format(time.RFC3339Nano))
	case c.After != nil:
		address = web.With(address, "after", *c.After)
	}
	return address
}

func (c Config) overlap() time.Duration { return time.Duration(c.Overlap) * time.Second }

// add records an event, if the next run will read it again.
func (s *State) add(event Event, overlap time.Duration) {
	if event.Timestamp.After(s.Newest) {
		s.Newest = event.Timestamp
		maps.DeleteFunc(s.Seen, func(_ osiris.UUID, at time.Time) bool { return s.forgets(at, overlap) })
	}
	if !s.forgets(event.Timestamp, overlap) {
		s.Seen[event.ID] = event.Timestamp
	}
}

// forgets says whether an event is too old to be read by the next run.
func (s *State) forgets(at time.Time, overlap time.Duration) bool { return !at.After(s.Newest.Add(-overlap)) }

func next(p *Page, _ *web.Response) string {
	if p.Next == nil {
		return ""
	}
	return *p.Next
}

func connection(c Config) (string, error) {
	var project struct{ Name string }
	err := (&web.Client{}).GetJSON(c.address(""), &project)
	return fmt.Sprintf("PostHog project `%s`", project.Name), err
}
