package tcp_test

import (
	"io"
	"net"
	"testing"
	"time"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/tcp"
)

func TestAConnectionIsANetConn(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			buffer := make([]byte, 4)
			_, _ = io.ReadFull(conn, buffer)
			_, _ = conn.Write(append(buffer, '!'))
			time.Sleep(50 * time.Millisecond)
			conn.Close()
		}
	}()
	conn, err := tcp.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "ping!" {
		t.Error(string(got), err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := conn.Read(got); osiris.AsError(err).Kind != osiris.KindTimeout {
		t.Error(err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	if n, err := conn.Read(got); err != io.EOF {
		t.Error(n, err)
	}
	if _, err := tcp.Dial("tcp", "nonsense"); osiris.AsError(err).Kind != osiris.KindConfig {
		t.Error(err)
	}
	_ = conn.Close()
}
