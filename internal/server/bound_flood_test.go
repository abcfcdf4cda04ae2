package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outlook-monitor/internal/server"
)

// flooded is a real server with a bound, and what its handler saw.
type flooded struct {
	t       *testing.T
	address string
	working atomic.Int64
	most    atomic.Int64 // that worked at once
	refused atomic.Int64
}

func flood(t *testing.T, cfg server.BoundConfig, secured *tls.Config) *flooded {
	t.Helper()
	f := &flooded{t: t}
	cfg.Paths, cfg.Refused = []string{"/in"}, func() { f.refused.Add(1) }
	ln := loopback(t)
	f.address = ln.Addr().String()
	h := server.Bound(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := f.working.Add(1)
		defer f.working.Add(-1)
		for most := f.most.Load(); n > most && !f.most.CompareAndSwap(most, n); most = f.most.Load() {
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("Read = %v, want the whole body to be there", err)
		}
		w.WriteHeader(http.StatusAccepted)
	}), cfg)
	running(t, func(ctx context.Context) error {
		return server.Serve(ctx, server.Listener{Listener: ln, Handler: h, TLS: secured}, slog.New(slog.DiscardHandler))
	})
	return f
}

// send opens a connection, sends what there is, and keeps quiet until it is
// answered or cut off.
func (f *flooded) send(head string, body []byte, over *sync.WaitGroup, came func(status int)) net.Conn {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	over.Go(func() {
		_, _ = io.WriteString(conn, head+"\r\nHost: a\r\n\r\n")
		_, _ = conn.Write(body)
	})
	over.Go(func() {
		defer conn.Close()
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			came(0)
			return
		}
		_ = answer.Body.Close()
		came(answer.StatusCode)
	})
	return conn
}

// heap is what is in use once all that is not has been collected.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestAFloodOfSlowSendersTakesNeitherMemoryNorPlaces sends 400 MiB that never come
// to an end, by all means at once, and short bodies meanwhile.
func TestAFloodOfSlowSendersTakesNeitherMemoryNorPlaces(t *testing.T) {
	const mib = 1 << 20
	cfg := server.BoundConfig{Requests: 64, EachSource: 64, Working: 4, Most: 4 * mib, Bytes: 8 * mib}
	f := flood(t, cfg, nil)
	long, short := bytes.Repeat([]byte(" "), 4*mib-1), bytes.Repeat([]byte(" "), 60<<10)
	kinds := []struct {
		head string
		body []byte
	}{
		{told(4 * mib), long},
		{untold, append([]byte("3ffff0\r\n"), long[:4*mib-64]...)},
		{told(4 * mib), []byte("{")},
		{untold, []byte(chunked("{"))},
		{told(64 << 10), short},
	}
	before := heap()
	var over sync.WaitGroup
	var answered, accepted atomic.Int64
	const senders = 250
	var conns []net.Conn
	for i := range senders {
		kind := kinds[i%len(kinds)]
		conns = append(conns, f.send(kind.head, kind.body, &over, func(status int) {
			answered.Add(1)
			if status == http.StatusAccepted {
				accepted.Add(1)
			}
		}))
	}
	eventually(t, "who finds no place is refused", func() bool { return answered.Load() >= senders-int64(cfg.Requests) })
	grown := heap() - before
	if most := cfg.Bytes + int64(cfg.Requests)*(64<<10) + 8*mib; grown > most {
		t.Errorf("memory in use grew by %d KiB, want at most %d", grown>>10, most>>10)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 40 {
		answer, err := client.Post("http://"+f.address+"/in", "application/json", strings.NewReader(`{"value":[]}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusAccepted {
			t.Errorf("answer to a short body = %d, want 202", answer.StatusCode)
		}
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	over.Wait()
	if accepted.Load() != 0 {
		t.Errorf("%d were accepted whose body never ended, want none", accepted.Load())
	}
}

// TestAFloodOfWholeBodiesIsServedInTurns sends more long bodies than there is room
// for.
func TestAFloodOfWholeBodiesIsServedInTurns(t *testing.T) {
	const mib = 1 << 20
	f := flood(t, server.BoundConfig{Requests: 64, EachSource: 64, Working: 4, Most: 4 * mib, Bytes: 8 * mib}, nil)
	body := bytes.Repeat([]byte(" "), 3*mib)
	var over sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 60 {
		f.send(told(len(body)), body, &over, func(status int) {
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	over.Wait()
	if statuses[202] < 1 || statuses[202]+int(f.refused.Load())+statuses[408] != 60 {
		t.Errorf("answers = %v, %d refusals told, want some accepted and the others refused", statuses, f.refused.Load())
	}
	if f.most.Load() > 4 {
		t.Errorf("%d worked at once, want 4 at most", f.most.Load())
	}
}

// TestSlowStreamsOfOneConnectionMakeWay is the same over HTTP/2, where all requests
// share a connection.
func TestSlowStreamsOfOneConnectionMakeWay(t *testing.T) {
	cert, key := signed(t, template("server.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	f := flood(t, server.BoundConfig{Requests: 8, EachSource: 8, Working: 4, Most: 1 << 20, Bytes: 1 << 20},
		&tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}})
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // its own certificate
	post := func(body io.Reader) (string, error) {
		answer, err := client.Post("https://"+f.address+"/in", "application/json", body)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		return fmt.Sprint(answer.Proto, " ", answer.StatusCode), nil
	}
	if got, err := post(strings.NewReader("{}")); err != nil || got != "HTTP/2.0 202" {
		t.Fatalf("answer = %s, %v, want 202 over HTTP/2", got, err)
	}
	var over sync.WaitGroup
	var ends []*io.PipeWriter
	for range 20 {
		silent, end := io.Pipe()
		ends = append(ends, end)
		over.Go(func() {
			if got, err := post(silent); err == nil && got != "HTTP/2.0 503" && got != "HTTP/2.0 408" {
				t.Errorf("answer to a slow one = %s, want it refused", got)
			}
		})
	}
	eventually(t, "some slow ones are put out", func() bool { return f.refused.Load() >= 12 })
	for range 12 {
		if got, err := post(strings.NewReader("{}")); err != nil || got != "HTTP/2.0 202" {
			t.Errorf("answer = %s, %v, want 202", got, err)
		}
	}
	for _, end := range ends {
		_ = end.CloseWithError(io.ErrUnexpectedEOF)
	}
	over.Wait()
}
