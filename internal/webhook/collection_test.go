package webhook

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// FuzzDecode compares what is decoded with encoding/json.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"value":[{"id":"1","subscriptionId":"s","clientState":"c","changeType":"updated"}]}`,
		`{"value":[{"lifecycleEvent":"missed","clientState":null}],"validationTokens":["x"]}`,
		`{"value":[{"changeType":"updated","encryptedContent":{"data":"eA==","dataKey":"eA==","dataSignature":"eA==","encryptionCertificateId":"c"}}],"validationTokens":["a.b.c",null]}`,
		`{"value":[{"changeType":"updated","encryptedContent":"x"}],"validationTokens":"x"}`, `{"value":[{"changeType":"updated","encryptedContent":null}],"validationTokens":[]}`,
		`{"value":null}`, `{"value":[null,1,{}]}`, `{"value":{}}`, `[]`, `null`, ``, `{"value":[{"changeType":{}}]}`,
		`{"Value":[],"v\u0061lue":[{"CLIENTSTATE":"a\"\ud800\u00e4","clientState":"\\\"b"}]} `, `{"value":[{"id":"` + strings.Repeat("\xff", 129) + `","subscriptionId":"` + strings.Repeat("s", 129) + `"}]}`,
		`{"value":[}`, `{"value":[]}x`, `{"value":[{"id":"1",}]}`, `{"value":[01]}`, `{"value":["` + "\n" + `"]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c, err := split([]byte(body))
		var got []jsontext.Value
		err = cmp.Or(err, eachElement(c.Items, func(d *jsontext.Decoder) error {
			element, err := d.ReadValue()
			got = append(got, element.Clone())
			return err
		}))
		var want struct {
			Value  json.RawMessage `json:"value"`
			Tokens json.RawMessage `json:"validationTokens"`
		}
		var items []json.RawMessage
		if json.Unmarshal([]byte(body), &want) != nil || want.Value == nil || json.Unmarshal(want.Value, &items) != nil {
			if err == nil {
				t.Errorf("items of %q = %s, want an error", body, c.Items)
			}
			return
		}
		if err != nil || len(got) != len(items) {
			t.Fatalf("items of %q = %q, error %v, want %d", body, got, err, len(items))
		}
		if string(c.Tokens) != string(want.Tokens) {
			t.Errorf("tokens of %q = %s, want %s", body, c.Tokens, want.Tokens)
		}
		decodeTokens(c.Tokens) // must not panic
		for i, raw := range items {
			if raw[0] == '{' {
				compareItem(t, got[i], raw)
			}
		}
	})
}

// compareItem compares an item and its encrypted content with what encoding/json decodes.
func compareItem(t *testing.T, object jsontext.Value, raw []byte) {
	t.Helper()
	var want struct {
		ID, SubscriptionID, ClientState, ChangeType, LifecycleEvent any
		EncryptedContent                                            json.RawMessage
	}
	var it item
	if err := errors.Join(json.Unmarshal(raw, &want), jsonv2.Unmarshal(object, &it, lenient)); err != nil {
		t.Fatal(err)
	}
	var wantContent, gotContent encryptedContent
	wantErr, gotErr := json.Unmarshal(want.EncryptedContent, &wantContent), jsonv2.Unmarshal(it.Content, &gotContent, lenient)
	if (wantErr == nil) != (gotErr == nil) || wantErr == nil && gotContent != wantContent {
		t.Errorf("content of %s = %q, %v, want %q, %v", raw, gotContent, gotErr, wantContent, wantErr)
	}
	for _, field := range []struct {
		got  jsontext.Value
		want any
	}{
		{it.ID, want.ID}, {it.SubscriptionID, want.SubscriptionID}, {it.ClientState, want.ClientState},
		{it.ChangeType, want.ChangeType}, {it.LifecycleEvent, want.LifecycleEvent},
	} {
		if want, _ := field.want.(string); unquote(field.got) != want {
			t.Errorf("a field of %s = %q, want %q", raw, unquote(field.got), want)
		}
	}
	if n := it.decode(); n.id == "" || len(n.id) > maxID || len(n.subscription) > maxID {
		t.Errorf("ids of %s = %q, %q, want 1 to %d and at most %[4]d bytes", raw, n.id, n.subscription, maxID)
	}
}

func FuzzHandshake(f *testing.F) {
	for _, seed := range []string{"validationToken=a", "validationToken=%3Cb%3E", "a=b&validationToken=x+y", "%", "validationToken=%00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		token, ok := handshake(query)
		if mayEcho(token) && (!ok || token == "" || len(token) > maxEcho || strings.ContainsAny(token, "<>\r\n\x00")) {
			t.Errorf("handshake(%q) = %q, %t, want nothing that could be markup or a header", query, token, ok)
		}
	})
}
