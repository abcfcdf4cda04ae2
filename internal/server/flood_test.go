package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/server"
)

func TestConnectionsAreLimited(t *testing.T) {
	const limit = 640
	synctest.Test(t, func(t *testing.T) {
		p, free := programtest.NewPipes(), make(chan struct{})
		serving(t, p, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-free }), nil)
		busy := p.Dial(here)
		send(t, busy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		synctest.Wait()
		var idle []net.Conn
		for range limit + 9 {
			idle = append(idle, p.Dial(here))
		}
		synctest.Wait()
		closed := 0
		for i, conn := range idle {
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); err == io.EOF {
				if closed++; i >= 10 {
					t.Errorf("connection %d is closed, want the oldest", i)
				}
			}
		}
		if closed != 10 {
			t.Errorf("%d connections are closed, want 10", closed)
		}
		close(free)
		if answer, err := http.ReadResponse(bufio.NewReader(busy), nil); err != nil || answer.StatusCode != 200 {
			t.Errorf("answer on the busy connection = %v, %v, want 200", answer, err)
		}
		for _, conn := range append(idle, busy) {
			_ = conn.Close()
		}
	})
}

// heap returns the heap in use after a garbage collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestFlood floods the server with silent connections, slow senders of all kinds and long
// bodies at once, over the network. cmd/outlook-monitor tests bodies that are costly to decode.
func TestFlood(t *testing.T) {
	ln := programtest.Listen(t)
	serving(t, ln, public(accepted, server.PublicConfig{Concurrency: 16}), nil)
	whole := spaces(4 * mib)
	before := heap()
	var attackers sync.WaitGroup
	var conns []net.Conn
	open := func(n int, text string) {
		sent := []byte(text) // shared: what the attackers hold must not count
		for range n {
			conn, err := net.Dial("tcp", ln.Addr().String())
			must.NoError(t, err)
			conns = append(conns, conn)
			attackers.Go(func() { _, _ = conn.Write(sent) })
		}
	}
	end := "\r\nHost: a\r\n\r\n"
	open(2048, "")
	open(256, declared(4*mib)+end+"{")
	open(256, declared(16*kib)+end+spaces(15*kib))
	open(256, undeclared+end+chunked(spaces(15*kib)))
	open(256, declared(4*mib)+end+spaces(200*kib))
	open(20, declared(4*mib)+end+whole)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 3 * time.Second}
	grown := int64(0)
	for range 20 {
		answer, err := client.Post("http://"+ln.Addr().String()+notifications, "application/json", strings.NewReader(`{"value":[]}`))
		must.NoError(t, err)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusAccepted {
			t.Errorf("answer to a notification = %d, want 202", answer.StatusCode)
		}
		grown = max(grown, heap()-before)
	}
	if grown > 64*mib {
		t.Errorf("memory in use grew by %d MiB, want at most 64", grown/mib)
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	attackers.Wait()
}
