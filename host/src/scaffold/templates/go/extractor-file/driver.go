// Reads a log file: a time, a level and a message in each line.
package main

import (
	"bufio"
	"io"
	"strings"
	"time"

	"go.osiris.dev/sdk"
)

type Config struct {
	Path string `json:"path"`
}

type Event struct {
	At      time.Time `col:"at"`
	Level   string    `col:"level"`
	Message string    `col:"message"`
}

func init() { osiris.Extractor(extract) }
func main() {}

func extract(config Config, out *osiris.Output) error {
	table, err := osiris.NewTable[Event](out, "main")
	if err != nil {
		return err
	}
	file, err := osiris.OpenFile(config.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	size := 0
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		size += len(line)
		if err != nil && err != io.EOF {
			return err
		}
		if text := strings.TrimRight(line, "\r\n"); text != "" {
			event, err := parse(text, number)
			if err != nil {
				return err
			}
			if err := table.Add(event); err != nil {
				return err
			}
		}
		if err == io.EOF {
			if int64(size) != file.Size() {
				return osiris.Errorf(osiris.KindTransient, "the file ended before its end")
			}
			return nil
		}
	}
}

func parse(line string, number int) (event Event, err error) {
	parts := strings.SplitN(line, " ", 3)
	if len(parts) < 3 {
		return event, osiris.Errorf(osiris.KindData, "line %d is not a time, a level and a message", number)
	}
	at, err := time.Parse(time.RFC3339Nano, parts[0])
	if err != nil {
		return event, osiris.Errorf(osiris.KindData, "line %d does not start with a time", number)
	}
	return Event{at, parts[1], parts[2]}, nil
}
