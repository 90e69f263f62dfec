package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"go.osiris.dev/sdk"
)

func set(answers string, rows int) (received string, err error) {
	var commands bytes.Buffer
	server := &Server{&commands, bufio.NewReader(strings.NewReader(answers)), 0}
	for range rows {
		if err = server.set(json.RawMessage(`"a"`), json.RawMessage(`null`)); err != nil {
			break
		}
	}
	return commands.String(), err
}

func TestEachRowSetsAnEntry(t *testing.T) {
	received, err := set("OK\nOK\n", 2)
	if err != nil || received != strings.Repeat("[\"SET\",\"a\",null]\n", 2) {
		t.Error(received, err)
	}
}

func TestARefusalAndABrokenConnectionAreErrors(t *testing.T) {
	for answers, kind := range map[string]osiris.Kind{"OK\nERROR no room\n": osiris.KindData, "OK\n": osiris.KindTransient} {
		if _, err := set(answers, 2); err == nil || osiris.AsError(err).Kind != kind {
			t.Error(answers, err)
		}
	}
}
