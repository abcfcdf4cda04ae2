package ooo_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
)

const resource = "/users/{id}/events"

const (
	ann ooo.ObjectID = "00000000-0000-0000-0000-000000000001"
	bob ooo.ObjectID = "00000000-0000-0000-0000-000000000002"
)

func TestVerify(t *testing.T) {
	keys := ooo.NewClientStateKeys("newer", "older")
	valid, longest := keys.Derive(ann, resource), ooo.ObjectID(strings.Repeat("a", 64))
	for name, tt := range map[string]struct {
		state string
		want  ooo.ObjectID
	}{
		"valid":                          {valid, ann},
		"signature of another mailbox":   {string(bob) + strings.TrimPrefix(valid, string(ann)), ""},
		"signature of another resource":  {string(ann) + ".AAAAAAAA." + valid[strings.LastIndexByte(valid, '.')+1:], ""},
		"truncated":                      {valid[:len(valid)-1], ""},
		"extra character":                {valid + "A", ""},
		"no signature":                   {valid[:strings.LastIndexByte(valid, '.')], ""},
		"empty signature":                {valid[:strings.LastIndexByte(valid, '.')+1], ""},
		"longest object id":              {keys.Derive(longest, resource), longest},
		"signed, but too long":           {keys.Derive(longest+"a", resource), ""},
		"signed, but no object id":       {keys.Derive("ann@contoso", resource), ""},
		"signed, but an empty id":        {keys.Derive("", resource), ""},
		"signed, but an id with a brace": {keys.Derive("{aaaaaaaaaaaaaa}", resource), ""},
		"signed, but an id of two lines": {keys.Derive("a\n", resource), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, ok := keys.Verify(tt.state)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("Verify = %q, %t, want %q, %t", got, ok, tt.want, tt.want != "")
			}
		})
	}
	if _, _, ok := ooo.NewClientStateKeys("newer").Verify(valid); !ok {
		t.Error("Verify with the first secret alone = false, want it used for new subscriptions")
	}
	for i := range len(valid) {
		changed := []byte(valid)
		changed[i] ^= 1
		if _, _, ok := keys.Verify(string(changed)); ok {
			t.Errorf("Verify accepts %s, want the change of character %d noticed", changed, i)
		}
	}
}

func TestKeysWithoutSecrets(t *testing.T) {
	foreign := ooo.NewClientStateKeys("secret")
	for name, keys := range map[string]ooo.ClientStateKeys{"zero value": {}, "empty secrets": ooo.NewClientStateKeys("", "")} {
		t.Run(name, func(t *testing.T) {
			if state, tag := keys.Derive(ann, resource), keys.Tag(); state != "" || tag != "" {
				t.Errorf("Derive, Tag = %q, %q, want both empty", state, tag)
			}
			if _, _, ok := keys.Verify(foreign.Derive(ann, resource)); ok || keys.Accepts("") || keys.Accepts(foreign.Tag()) {
				t.Error("Verify or Accepts = true, want false")
			}
		})
	}
}

func TestClientStateKeysNeverPrintSecrets(t *testing.T) {
	const secret = "very-secret"
	keys := ooo.NewClientStateKeys(secret)
	type holder struct {
		Name   string
		Public ooo.ClientStateKeys
		hidden ooo.ClientStateKeys
	}
	h := holder{Name: "holder", Public: keys, hidden: keys}
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%t", "%U"} {
		fmt.Fprintf(&printed, verb+verb+verb+verb+verb, keys, &keys, h, &h, []ooo.ClientStateKeys{h.hidden})
	}
	slog.New(slog.NewJSONHandler(&printed, nil)).Info("keys", "keys", keys, "holder", h)
	slog.New(slog.NewTextHandler(&printed, nil)).Info("keys", "keys", keys, "holder", h)
	for form, leak := range map[string]string{
		"text": secret, "hexadecimal": fmt.Sprintf("%x", secret), "capital hexadecimal": fmt.Sprintf("%X", secret),
		"decimal bytes": strings.Trim(fmt.Sprint([]byte(secret)), "[]"), "Go bytes": "0x76, 0x65, 0x72",
	} {
		if strings.Contains(printed.String(), leak) {
			t.Errorf("output contains the secret as %s", form)
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys := ooo.NewClientStateKeys("newer", "older")
	genuine := map[string]ooo.ObjectID{
		keys.Derive(ann, resource):                              ann,
		keys.Derive(bob, resource):                              bob,
		ooo.NewClientStateKeys("older").Derive(ann, resource):   ann,
		ooo.NewClientStateKeys("dropped").Derive(ann, resource): "",
	}
	for state := range genuine {
		f.Add(state)
	}
	f.Add("")
	f.Add(strings.Repeat(".", 128))
	f.Fuzz(func(t *testing.T, state string) {
		user, _, ok := keys.Verify(state)
		if want := genuine[state]; user != want || ok != (want != "") {
			t.Errorf("Verify(%q) = %q, %t, want %q", state, user, ok, want)
		}
	})
}
