// A driver for the tests that uses state, secrets, files and a connection.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/tcp"
)

type config struct {
	In    string `json:"in"`
	Out   string `json:"out"`
	Host  string `json:"host"`
	Port  int    `json:"port"`
	State bool   `json:"state"`
}

type row struct{ Name, Value string }

func init() { osiris.Extractor(extract) }
func main() {}

func extract(c config, out *osiris.Output) error {
	rows := []row{}
	add := func(name string, values ...any) { rows = append(rows, row{name, fmt.Sprint(values...)}) }
	last, found, err := osiris.State[int]()
	add("state", last, found)
	if err := errors.Join(err, osiris.SetState(last+1)); err != nil {
		return err
	}
	secret, _ := osiris.Secret("login.password")
	_, none := osiris.Secret("/nothing")
	add("secrets", len(secret), none, len(osiris.Secrets("")))
	index, count := osiris.Partition()
	add("step", osiris.StepID(), osiris.Attempt(), index, count)
	if err := osiris.Reject(row{"name", "value"}, "too odd"); err != nil {
		return err
	}
	osiris.Metric("requests_sent", 2.5)
	osiris.Progress(1, 2)
	if err := errors.Join(files(c, out, add), connect(c, add)); err != nil {
		return err
	}
	return osiris.WriteTable(out, "main", rows)
}

func files(c config, out *osiris.Output, add func(string, ...any)) error {
	listed, err := osiris.ListFiles(c.In)
	source, err2 := osiris.OpenFile(c.In)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	text, err := io.ReadAll(source)
	add("file", len(listed), string(text))
	temporary, err2 := osiris.CreateTemporary()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	fmt.Fprint(temporary, "a,b\n1,2\n")
	n, err := osiris.CreateTable(out, "csv", "from read_csv("+temporary.SQLLiteral()+")")
	add("temporary", n)
	target, err2 := osiris.CreateFile(c.Out)
	if err := errors.Join(err, err2, temporary.Close(), source.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprint(target, "written")
	_, missing := osiris.OpenFile("elsewhere")
	add("denied", osiris.AsError(missing).Kind)
	return err
}

func connect(c config, add func(string, ...any)) error {
	conn, err := tcp.Dial("tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return err
	}
	fmt.Fprintln(conn, "ping")
	line, err := bufio.NewReader(conn).ReadString('\n')
	_, end := conn.Read(make([]byte, 1))
	add("tcp", line, end == io.EOF)
	_, refused := tcp.Dial("tcp", net.JoinHostPort(c.Host, "1"))
	add("other port", osiris.AsError(refused).Kind)
	return errors.Join(err, conn.Close())
}
