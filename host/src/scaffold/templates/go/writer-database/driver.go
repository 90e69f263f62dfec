// Sets an entry of a key-value server for each row.
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
	Key   string `json:"key"`
	Value string `json:"value"`
}

func init() { osiris.Writer(load) }
func main() {}

func load(config Config, in osiris.Inputs) error {
	input, err := in.Only()
	if err != nil {
		return err
	}
	address := net.JoinHostPort(config.Connection.Host, strconv.Itoa(config.Connection.Port))
	connection, err := tcp.DialTimeout("tcp", address, 30*time.Second)
	if err != nil {
		return err
	}
	defer connection.Close()
	server := &Server{connection, bufio.NewReader(connection), 0}
	for row, err := range osiris.Records[map[string]json.RawMessage](input, config.Key, config.Value) {
		if err != nil {
			return err
		}
		if err := server.set(row[config.Key], row[config.Value]); err != nil {
			return err
		}
	}
	return nil
}

// Server is a connection to a key-value server.
type Server struct {
	io.Writer
	answers *bufio.Reader
	rows    int
}

func (s *Server) set(key, value json.RawMessage) error {
	s.rows++
	command, err := json.Marshal([]any{"SET", key, value})
	if err != nil {
		return err
	}
	if _, err := s.Write(append(command, '\n')); err != nil {
		return err
	}
	answer, err := s.answers.ReadString('\n')
	if err == io.EOF {
		return osiris.Errorf(osiris.KindTransient, "the server closed the connection")
	}
	if err != nil {
		return err
	}
	if answer != "OK\n" {
		reason := strings.TrimSpace(strings.TrimPrefix(answer, "ERROR "))
		return osiris.Errorf(osiris.KindData, "the server refused row %d: %s", s.rows, reason)
	}
	return nil
}
