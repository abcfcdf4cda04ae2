package webhook

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"value":[{"id":"1","subscriptionId":"s","clientState":"c","changeType":"updated"}]}`,
		`{"value":[{"lifecycleEvent":"missed","clientState":null}],"validationTokens":["x"]}`,
		`{"value":null}`, `{"value":[null,1,{}]}`, `{"value":{}}`, `[]`, ``, `{"value":[{"changeType":{}}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		items, ignored, err := decode(strings.NewReader(body))
		if err != nil && (len(items) > 0 || ignored > 0) {
			t.Errorf("decode = %d items, %d ignored with error %v, want nothing", len(items), ignored, err)
		}
		for _, it := range items {
			if it.ChangeType == "" && it.LifecycleEvent == "" {
				t.Errorf("decode = %+v, want an item of a kind", it)
			}
			if it.name() == "" {
				t.Errorf("name of %+v is empty", it)
			}
		}
	})
}

func FuzzHandshake(f *testing.F) {
	for _, seed := range []string{"validationToken=a", "validationToken=%3Cb%3E", "a=b&validationToken=x+y", "%", "validationToken=%00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		token, asked, ok := handshake(query)
		if ok && (!asked || token == "" || len(token) > maxToken || strings.ContainsAny(token, "<>\r\n\x00")) {
			t.Errorf("handshake(%q) = %q, asked %t, want nothing that could be markup or a header", query, token, asked)
		}
	})
}

func BenchmarkDecodeAndSort(b *testing.B) {
	keys := ooo.NewClientStateKeys("secret")
	for _, n := range []int{1, 20, 100} {
		var items []string
		for i := range n {
			state := keys.Derive(ooo.KeyOf(fmt.Sprintf("user%d@contoso.example", i)), "/users/{id}/events")
			items = append(items, fmt.Sprintf(`{"subscriptionId":"s%d","clientState":"%s","changeType":"updated","resource":"Users/x/Events/y","resourceData":{"id":"y"}}`, i, state))
		}
		body := `{"value":[` + strings.Join(items, ",") + `]}`
		r := &Receiver{cfg: Config{Counted: func(string, int) {}}}
		b.Run(fmt.Sprintf("items=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got, _, err := decode(strings.NewReader(body))
				if err != nil || len(r.sort(got, keys, time.Time{}).marks) != n {
					b.Fatal("not all items were taken")
				}
			}
		})
	}
}
