//go:build linux && !race

package main_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"outlook-monitor/internal/graphsim"
)

// TestStrangersCostLittleMemory measures the peak of the program while all that is
// known to take much memory comes at once.
func TestStrangersCostLittleMemory(t *testing.T) {
	const longest, most = 4 << 20, 64 // bytes, MiB
	fill := func(head, part, tail string) []byte {
		return []byte(head + strings.Repeat(part+",", (longest-len(head)-len(tail))/(len(part)+1)-1) + part + tail)
	}
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	for bomb.Len() < 256<<10 { // a thousand times as much
		_, _ = packed.Write(bytes.Repeat([]byte("{},"), 1<<20)) // a buffer takes everything
	}
	_ = packed.Close()
	attacks := map[string][]byte{
		"tokens that are objects": fill(`{"value":[{"changeType":"x"}],"validationTokens":[`, "{}", "]}"),
		"tokens that are texts":   fill(`{"value":[{"changeType":"x"}],"validationTokens":[`, `"a.b.c"`, "]}"),
		"220,000 items":           fill(`{"value":[`, `{"changeType":"x"}`, "]}"),
		"a tree as a clientState": fill(`{"value":[{"clientState":[`, "{}", "]}]}"),
		"a long clientState":      fill(`{"value":[{"clientState":"`, `\u0061`, `"}]}`),
		"a tree as content":       fill(`{"value":[{"encryptedContent":{"data":[`, "{}", "]}}]}"),
		"brackets":                bytes.Repeat([]byte("["), longest),
		"packed":                  bomb.Bytes(),
	}
	w := world(t, "", graphsim.Config{Seed: 64})
	p := w.start("serve")
	w.answers()
	rest := peakOf(t, p.PID())
	for range 3 {
		var all sync.WaitGroup
		for name, body := range attacks {
			for i := range 5 {
				all.Go(func() {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+"/graph/notifications", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					if i%2 == 1 {
						request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
					}
					if name == "packed" {
						request.Header.Set("Content-Encoding", "gzip")
					}
					if response, err := http.DefaultClient.Do(request); err == nil { // else it was refused before all was sent
						_ = response.Body.Close()
					}
				})
			}
		}
		all.Wait()
	}
	if cost := peakOf(t, p.PID()) - rest; cost > most {
		t.Errorf("the program's peak = %d MiB over the rest, want at most %d", cost, most)
	} else {
		t.Logf("peak: %d MiB over the rest of %d", cost, rest)
	}
	if status, answer := w.post("/graph/notifications", `{"value":[]}`); status != http.StatusAccepted {
		t.Errorf("a notification afterwards = %d %q, want 202", status, answer)
	}
}

// peakOf returns the most memory that a process has had, in MiB.
func peakOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(line)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes >> 10
}
