package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/server"
)

func TestWholeBodiesArePassedOn(t *testing.T) {
	guarded(t, func(t *testing.T, s *guardedServer) {
		for _, size := range []int{
			0, 1, 16*kib - 1, 16 * kib, 16*kib + 1, 80*kib - 1, 80 * kib, 80*kib + 1, 144 * kib, 256*kib - 1, 4*mib - 1, 4 * mib,
		} {
			calls := []*call{s.call(here, declared(size), spaces(size))}
			if size > 0 {
				calls = append(calls, s.call(here, undeclared, chunked(spaces(size))+"0\r\n\r\n"))
			}
			for _, c := range calls {
				if got := c.answered(); got != 200 || c.body != strconv.Itoa(size) {
					t.Errorf("answer to %d bytes = %d %s, want 200 and all of them passed on", size, got, c.body)
				}
			}
		}
	})
}

func TestSlowBodies(t *testing.T) {
	for name, tt := range map[string]struct {
		head, first string
		every       time.Duration // then sends a piece
		piece       string
		status      int
		after       time.Duration
	}{
		"short, never ends": {declared(99), "{", time.Second, "1", 408, 5 * time.Second},
		"short, slow":       {declared(5), "{", 1100 * time.Millisecond, "1", 200, 4400 * time.Millisecond},
		"long, too slow":    {declared(200 * kib), spaces(65 * kib), 100 * time.Millisecond, "1", 408, time.Second},
		"long, slow":        {declared(200 * kib), spaces(20 * kib), 300 * time.Millisecond, spaces(36 * kib), 200, 1500 * time.Millisecond},
		"long, never ends":  {declared(4 * mib), spaces(20 * kib), 450 * time.Millisecond, spaces(32 * kib), 408, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			guarded(t, func(t *testing.T, s *guardedServer) {
				c := s.call(here, tt.head, tt.first)
				for {
					select {
					case <-c.done:
						if c.status != tt.status || c.took != tt.after {
							t.Errorf("answer = %d after %v, want %d after %v", c.status, c.took, tt.status, tt.after)
						}
						return
					case <-time.After(tt.every):
						go func() { _, _ = io.WriteString(c.conn, tt.piece) }()
					}
				}
			})
		})
	}
}

// TestTooLongBodyIsSentFirst sends all of a body before it reads the answer.
func TestTooLongBodyIsSentFirst(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(public(accepted, server.PublicConfig{}))
	t.Cleanup(s.Close)
	for name, request := range map[string]string{
		"declared length":   declared(12*mib) + "\r\nHost: a\r\n\r\n" + spaces(12*mib),
		"undeclared length": undeclared + "\r\nHost: a\r\n\r\n" + chunked(spaces(12*mib)) + "0\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		must.NoError(t, err)
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Errorf("%s: the body can't be sent: %v", name, err)
			continue
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: no answer: %v", name, err)
			continue
		}
		if answer.Body.Close(); answer.StatusCode != http.StatusRequestEntityTooLarge || !answer.Close {
			t.Errorf("%s: answer = %d, close %v, want 413 and the connection closed", name, answer.StatusCode, answer.Close)
		}
	}
}

func TestSlowSenderIsDisconnected(t *testing.T) {
	guarded(t, func(t *testing.T, s *guardedServer) {
		sender := s.Dial(here) // stays open after the answer
		defer sender.Close()
		send(t, sender, declared(99)+"\r\nHost: a\r\n\r\n{")
		answers := bufio.NewReader(sender)
		if answer, err := http.ReadResponse(answers, nil); err != nil || answer.StatusCode != http.StatusRequestTimeout {
			t.Fatalf("answer = %v, %v, want 408", answer, err)
		}
		answered := time.Now()
		if _, err := answers.ReadByte(); err == nil || time.Since(answered) > time.Second {
			t.Errorf("after the answer: %v after %v, want the connection closed at once", err, time.Since(answered))
		}
	})
}

func TestTooLongBodyFreesItsMemory(t *testing.T) {
	guarded(t, func(t *testing.T, s *guardedServer) {
		sender := s.Dial(here) // stays open after the answer
		defer sender.Close()
		send(t, sender, undeclared+"\r\nHost: a\r\n\r\n"+chunked(spaces(4*mib+1)))
		if answer, err := http.ReadResponse(bufio.NewReader(sender), nil); err != nil || answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("answer = %v, %v, want 413", answer, err)
		}
		c := s.call(here, declared(mib), spaces(mib))
		if got := c.answered(); got != http.StatusOK || c.took > 0 {
			t.Errorf("answer to a long body from the same source = %d after %v, want 200 at once", got, c.took)
		}
	})
}
