package webhook

import (
	"encoding/json"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
)

// plain is a collection as encoding/json sees it.
type plain struct {
	Value  json.RawMessage `json:"value"`
	Tokens json.RawMessage `json:"validationTokens"`
}

// FuzzDecode compares with encoding/json what is accepted and what is found.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"value":[{"id":"1","subscriptionId":"s","clientState":"c","changeType":"updated"}]}`,
		`{"value":[{"lifecycleEvent":"missed","clientState":null}],"validationTokens":["x"]}`,
		`{"value":[{"changeType":"updated","encryptedContent":{"data":"eA==","dataKey":"eA==","dataSignature":"eA==","encryptionCertificateId":"c"}}],"validationTokens":["a.b.c",null]}`,
		`{"value":[{"changeType":"updated","encryptedContent":"x"}],"validationTokens":"x"}`, `{"value":[{"changeType":"updated","encryptedContent":null}],"validationTokens":[]}`,
		`{"value":null}`, `{"value":[null,1,{}]}`, `{"value":{}}`, `[]`, ``, `{"value":[{"changeType":{}}]}`,
		`{"Value":[],"v\u0061lue":[{"CLIENTSTATE":"a\"\ud800\u00e4","clientState":"\\\"b"}]} `, `{"value":[{"id":"` + "\xff" + `"}]}`,
		`{"value":[}`, `{"value":[]}x`, `{"value":[{"id":"1",}]}`, `{"value":[01]}`, `{"value":["` + "\n" + `"]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, err := decode([]byte(body))
		var want plain
		var items []json.RawMessage
		if json.Unmarshal([]byte(body), &want) != nil || want.Value == nil || json.Unmarshal(want.Value, &items) != nil {
			if err == nil {
				t.Errorf("decode(%q) = %+v, want an error", body, c)
			}
			return
		}
		if err != nil || len(c.Items.list)+c.Items.ignored != len(items) {
			t.Fatalf("decode(%q) = %d items and %d ignored, error %v, want %d", body, len(c.Items.list), c.Items.ignored, err, len(items))
		}
		if got := c.Tokens.in([]byte(body)); string(got) != string(want.Tokens) && string(want.Tokens) != "null" {
			t.Errorf("tokens of %q = %s, want %s", body, got, want.Tokens)
		}
		if tokens := tokensIn(c.Tokens.in([]byte(body))); len(tokens) > maxTokens+1 {
			t.Errorf("tokensOf = %d tokens, want no more than tell that there are too many", len(tokens))
		}
		for _, raw := range items {
			if raw[0] == '{' && len(c.Items.list) > 0 {
				alike(t, []byte(body), c.Items.list[0], raw)
				c.Items.list = c.Items.list[1:]
			}
		}
	})
}

// alike compares an item, and what it has of encrypted content, with the same by
// encoding/json.
func alike(t *testing.T, body []byte, it item, raw []byte) {
	t.Helper()
	var want struct {
		ID, SubscriptionID, ClientState, ChangeType, LifecycleEvent any
		EncryptedContent                                            json.RawMessage
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	var content struct{ Data, DataKey, DataSignature, EncryptionCertificateID any }
	_ = json.Unmarshal(want.EncryptedContent, &content) // null and what is no object leave it empty
	var found sealed
	_ = jsonv2.Unmarshal(it.Content.in(body), &found, asStandard)
	for _, pair := range []struct {
		got  string
		want any
	}{
		{it.ID.text(body), want.ID}, {it.SubscriptionID.text(body), want.SubscriptionID}, {it.ClientState.text(body), want.ClientState},
		{it.ChangeType.text(body), want.ChangeType}, {it.LifecycleEvent.text(body), want.LifecycleEvent},
		{string(found.Data), content.Data}, {string(found.DataKey), content.DataKey}, {string(found.DataSignature), content.DataSignature},
		{string(found.CertificateID), content.EncryptionCertificateID},
	} {
		if text, _ := pair.want.(string); pair.got != text {
			t.Errorf("a field of %s = %q, want %q", raw, pair.got, text)
		}
	}
	if g := it.decode(body); g.notification == "" || len(g.notification) > maxID || len(g.subscription) > maxID {
		t.Errorf("name of %s = %q, want a short one", raw, g.notification)
	}
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
