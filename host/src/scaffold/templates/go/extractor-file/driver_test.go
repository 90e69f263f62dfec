package main

import (
	"strings"
	"testing"

	"go.osiris.dev/sdk/osiristest"
)

func step(text string) osiristest.Step {
	return osiristest.Step{Config: Config{Path: "a.log"}, Files: map[string][]byte{"a.log": []byte(text)}}
}

func TestEachLineIsARowAndEmptyLinesAreSkipped(t *testing.T) {
	result := step("2026-01-31T10:00:00Z WARN disk is full\n\n2026-01-31T10:00:01Z INFO žluť").Run(t)
	rows := osiristest.Rows[Event](t, result, "main")
	if len(rows) != 2 || rows[0].Message != "disk is full" || rows[1].Message != "žluť" || rows[1].At.Second() != 1 {
		t.Errorf("%+v", rows)
	}
}

func TestALineOfAnotherFormIsAnError(t *testing.T) {
	for _, wrong := range []string{"oops", "31.1.2026 INFO x"} {
		failed := step("2026-01-31T10:00:00Z INFO ready\n" + wrong).Try(t).Err
		if failed == nil || !strings.HasPrefix(failed.Message, "line 2 ") {
			t.Error(failed)
		}
	}
}
