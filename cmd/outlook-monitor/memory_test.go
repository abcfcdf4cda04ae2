//go:build linux && !race

package main_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
)

// TestMemoryOfUnauthenticatedNotifications measures the program's peak memory under concurrent
// requests with bodies that are expensive to decode.
func TestMemoryOfUnauthenticatedNotifications(t *testing.T) {
	const maxBody, maxCost = 4 << 20, 64 // bytes, MiB
	fill := func(head, part, tail string) []byte {
		return []byte(head + strings.Repeat(part+",", (maxBody-len(head)-len(tail))/(len(part)+1)-1) + part + tail)
	}
	var bomb bytes.Buffer // 256 KiB that decompress to a thousand times as much
	compressor := gzip.NewWriter(&bomb)
	for bomb.Len() < 256<<10 {
		_, _ = compressor.Write(bytes.Repeat([]byte("{},"), 1<<20))
	}
	_ = compressor.Close()
	attacks := map[string][]byte{
		"objects as tokens":   fill(`{"value":[{"changeType":"x"}],"validationTokens":[`, "{}", "]}"),
		"strings as tokens":   fill(`{"value":[{"changeType":"x"}],"validationTokens":[`, `"a.b.c"`, "]}"),
		"220,000 items":       fill(`{"value":[`, `{"changeType":"x"}`, "]}"),
		"tree as clientState": fill(`{"value":[{"clientState":[`, "{}", "]}]}"),
		"long clientState":    fill(`{"value":[{"clientState":"`, `\u0061`, `"}]}`),
		"tree as content":     fill(`{"value":[{"encryptedContent":{"data":[`, "{}", "]}}]}"),
		"brackets":            bytes.Repeat([]byte("["), maxBody),
		"gzip":                bomb.Bytes(),
	}
	tb := newTestbed(t, "", graphsim.Config{Seed: 64})
	p := tb.startReady()
	idle := peakMemory(t, p.PID())
	for range 3 {
		var all sync.WaitGroup
		for name, body := range attacks {
			for i := range 5 {
				all.Go(func() {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tb.base+"/graph/notifications", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					if i%2 == 1 {
						request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
					}
					if name == "gzip" {
						request.Header.Set("Content-Encoding", "gzip")
					}
					if response, err := http.DefaultClient.Do(request); err == nil { // fails if the request is rejected early
						_ = response.Body.Close()
					}
				})
			}
		}
		all.Wait()
	}
	if cost := peakMemory(t, p.PID()) - idle; cost > maxCost {
		t.Errorf("peak memory = %d MiB over idle, want at most %d", cost, maxCost)
	} else {
		t.Logf("peak memory: %d MiB over the idle %d", cost, idle)
	}
	tb.wantStatus(http.StatusAccepted, "POST", "/graph/notifications", `{"value":[]}`)
}

// peakMemory returns the peak memory of a process in MiB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	_, line, _ := strings.Cut(filetest.Read(t, fmt.Sprintf("/proc/%d/status", pid)), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(line)[0])
	must.NoError(t, err)
	return kib >> 10
}
