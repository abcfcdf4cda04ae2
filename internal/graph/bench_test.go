package graph_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
)

// BenchmarkRead reads one and twenty mailboxes whose answers are all new or all known.
// internal/bench has the lower bound.
func BenchmarkRead(b *testing.B) {
	ids := make([]ooo.ObjectID, 20)
	var items []string
	for i := range ids {
		ids[i] = ooo.ObjectID("6d1f2c34-90ab-4cde-8f01-23456789ab" + strconv.Itoa(10+i))
		items = append(items, `{"id":"`+strconv.Itoa(i)+`","status":200,"headers":{"Content-Type":"application/json"},"body":`+setting+`}`)
	}
	answer := `{"responses":[` + strings.Join(items, ",") + `]}`
	c := newStub(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/$batch") {
			writeJSON(w, http.StatusOK, answer)
		} else {
			writeJSON(w, http.StatusOK, setting)
		}
	}).client(b)
	known := make([]ooo.Digest, len(ids))
	for i, r := range c.Read(b.Context(), ids, nil) {
		known[i] = r.Digest
	}
	for name, known := range map[string][]ooo.Digest{"new": make([]ooo.Digest, len(ids)), "known": known} {
		for _, n := range []int{1, 20} {
			b.Run(name+"/"+strconv.Itoa(n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for _, r := range c.Read(b.Context(), ids[:n], known[:n]) {
						if r.Err != nil || r.Unchanged != (name == "known") {
							b.Fatalf("result = %+v, want the setting", r)
						}
					}
				}
			})
		}
	}
}
