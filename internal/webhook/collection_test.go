package webhook

import (
	"encoding/json"
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
		c, err := decode([]byte(body))
		if err != nil && (len(c.items) > 0 || c.ignored > 0 || c.tokens != nil) {
			t.Errorf("decode = %+v with error %v, want nothing", c, err)
		}
		if tokens := tokensOf(c.tokens); len(tokens) > maxTokens+1 {
			t.Errorf("tokensOf = %d tokens, want no more than tell that there are too many", len(tokens))
		}
		for _, data := range c.items {
			state, object := clientStateOf(data)
			var it struct {
				item
				ClientState any `json:"clientState"`
			}
			if err := json.Unmarshal(data, &it); object && err != nil {
				t.Errorf("item %s = %v, want odd fields left out", data, err)
			}
			if whole, is := it.ClientState.(string); object && state != whole && is {
				t.Errorf("clientState of %s = %q, want %q", data, state, whole)
			}
			if it.name() == "" || len(it.name()) > maxID || len(it.subscription()) > maxID {
				t.Errorf("name of %s = %q, want a short one", data, it.name())
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
		if ok && (!asked || token == "" || len(token) > maxEcho || strings.ContainsAny(token, "<>\r\n\x00")) {
			t.Errorf("handshake(%q) = %q, asked %t, want nothing that could be markup or a header", query, token, asked)
		}
	})
}
