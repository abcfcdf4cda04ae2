package webhook

import (
	"strings"
	"testing"
)

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"value":[{"id":"1","subscriptionId":"s","clientState":"c","changeType":"updated"}]}`,
		`{"value":[{"lifecycleEvent":"missed","clientState":null}],"validationTokens":["x"]}`,
		`{"value":[{"changeType":"updated","encryptedContent":{"data":"eA==","dataKey":"eA==","dataSignature":"eA==","encryptionCertificateId":"c"}}],"validationTokens":["a.b.c",null]}`,
		`{"value":[{"changeType":"updated","encryptedContent":"x"}],"validationTokens":"x"}`, `{"value":[{"changeType":"updated","encryptedContent":null}],"validationTokens":[]}`,
		`{"value":null}`, `{"value":[null,1,{}]}`, `{"value":{}}`, `[]`, ``, `{"value":[{"changeType":{}}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, err := decode(strings.NewReader(body))
		if err != nil && (len(c.items) > 0 || c.ignored > 0 || len(c.tokens) > 0) {
			t.Errorf("decode = %+v with error %v, want nothing", c, err)
		}
		for _, it := range c.items {
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
