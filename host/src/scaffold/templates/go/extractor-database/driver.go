// Reads the entries of a key-value server.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/tcp"
)

type Config struct {
	Connection struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	} `json:"connection"`
	Prefix string `json:"prefix"`
}

func init() { osiris.Extractor(extract) }
func main() {}

func extract(config Config, out *osiris.Output) error {
	table, err := out.JSONTable("main", osiris.Declared{Name: "key", Type: "VARCHAR"}, osiris.Declared{Name: "value", Type: "VARCHAR"})
	if err != nil {
		return err
	}
	address := net.JoinHostPort(config.Connection.Host, strconv.Itoa(config.Connection.Port))
	server, err := tcp.DialTimeout("tcp", address, 30*time.Second)
	if err != nil {
		return err
	}
	defer server.Close()
	return list(server, config.Prefix, func(entry string) error { return table.AddJSON(json.RawMessage(entry)) })
}

// list passes on each entry whose key has the prefix.
func list(server io.ReadWriter, prefix string, add func(entry string) error) error {
	command, err := json.Marshal([]string{"LIST", prefix})
	if err != nil {
		return err
	}
	if _, err := server.Write(append(command, '\n')); err != nil {
		return err
	}
	lines := bufio.NewReader(server)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return osiris.Errorf(osiris.KindTransient, "the server closed the connection before the end of the list")
		}
		if err != nil {
			return err
		}
		if line == ".\n" {
			return nil
		}
		if reason, failed := strings.CutPrefix(line, "ERROR "); failed {
			return osiris.Errorf(osiris.KindOther, "the server refused to list its entries: %s", strings.TrimSpace(reason))
		}
		if err := add(line); err != nil {
			return err
		}
	}
}
