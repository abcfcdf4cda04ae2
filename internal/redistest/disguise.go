package redistest

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
)

// Disguise returns the URL of a proxy in front of the server through which INFO
// tells another version, no longer than the true one.
func (s *Server) Disguise(version string) string {
	s.t.Helper()
	const name = "redis_version:"
	info, _ := s.do("INFO", "server").(string)
	_, rest, _ := strings.Cut(info, name)
	truth, _, _ := strings.Cut(rest, "\r\n")
	if len(version) > len(truth) {
		s.t.Fatalf("version %s is longer than %s", version, truth)
	}
	mask := strings.NewReplacer(name+truth, name+version+strings.Repeat(" ", len(truth)-len(version)))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.relay(ctx, client, mask) })
		}
	})
	s.t.Cleanup(func() {
		stop()
		ln.Close()
		running.Wait()
	})
	return "redis://" + ln.Addr().String()
}

// relay passes on what a client and the server say until one of them ends.
func (s *Server) relay(ctx context.Context, client net.Conn, mask *strings.Replacer) {
	defer client.Close()
	server, err := net.Dial("tcp", s.Addr())
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	var asking sync.WaitGroup
	defer asking.Wait()
	defer client.Close()
	asking.Go(func() {
		_, _ = io.Copy(server, client)
		server.Close()
	})
	_, _ = io.Copy(masked{client, mask}, server)
}

// masked writes with one text in place of another. The one that Disguise seeks
// is near the beginning of an answer, so it comes in one piece.
type masked struct {
	to   io.Writer
	mask *strings.Replacer
}

func (m masked) Write(p []byte) (int, error) {
	if _, err := m.mask.WriteString(m.to, string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
