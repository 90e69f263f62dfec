package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"go.osiris.dev/sdk"
)

// server has its answer ready, and remembers what it received.
type server struct {
	io.Reader
	bytes.Buffer
}

func (s *server) Read(b []byte) (int, error)  { return s.Reader.Read(b) }
func (s *server) Write(b []byte) (int, error) { return s.Buffer.Write(b) }

func listed(answer string) (received string, entries []string, err error) {
	s := &server{Reader: strings.NewReader(answer)}
	err = list(s, "fruit", func(entry string) error { entries = append(entries, entry); return nil })
	return s.Buffer.String(), entries, err
}

func TestEntriesAreReadToTheEndOfTheList(t *testing.T) {
	received, entries, err := listed("{\"key\": \"fruit:plum\"}\n.\n")
	if err != nil || received != "[\"LIST\",\"fruit\"]\n" || len(entries) != 1 {
		t.Error(received, entries, err)
	}
}

func TestARefusalAndABrokenListAreErrors(t *testing.T) {
	for answer, kind := range map[string]osiris.Kind{"ERROR not now\n": osiris.KindOther, "{\"key\": \"a\"}\n": osiris.KindTransient} {
		if _, _, err := listed(answer); osiris.AsError(err).Kind != kind {
			t.Error(answer, err)
		}
	}
}
