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

func TestDerive(t *testing.T) {
	keys := ooo.NewClientStateKeys("secret")
	base := keys.Derive(ann, resource)
	if again := keys.Derive(ann, resource); len(base) != 89 || again != base {
		t.Errorf("Derive = %s and then %s, want the same 89 characters", base, again)
	}
	for what, other := range map[string]string{
		"mailbox":  keys.Derive(bob, resource),
		"resource": keys.Derive(ann, "/users/{id}/messages"),
		"secret":   ooo.NewClientStateKeys("another").Derive(ann, resource),
	} {
		if other == base {
			t.Errorf("Derive for another %s = %s, want another clientState", what, other)
		}
	}
}

func TestVerify(t *testing.T) {
	keys := ooo.NewClientStateKeys("newer", "older")
	valid, longest := keys.Derive(ann, resource), ooo.ObjectID(strings.Repeat("a", 64))
	tests := map[string]struct {
		state string
		want  ooo.ObjectID
	}{
		"valid":                          {valid, ann},
		"previous secret":                {ooo.NewClientStateKeys("older").Derive(ann, resource), ann},
		"retired secret":                 {ooo.NewClientStateKeys("oldest").Derive(ann, resource), ""},
		"empty":                          {"", ""},
		"signature of another mailbox":   {string(bob) + strings.TrimPrefix(valid, string(ann)), ""},
		"signature of another resource":  {string(ann) + ".AAAAAAAA." + valid[strings.LastIndexByte(valid, '.')+1:], ""},
		"truncated":                      {valid[:len(valid)-1], ""},
		"extra character":                {valid + "A", ""},
		"no signature":                   {valid[:strings.LastIndexByte(valid, '.')], ""},
		"empty signature":                {valid[:strings.LastIndexByte(valid, '.')+1], ""},
		"another mailbox":                {keys.Derive(bob, resource), bob},
		"longest object id":              {keys.Derive(longest, resource), longest},
		"signed, but too long":           {keys.Derive(longest+"a", resource), ""},
		"signed, but no object id":       {keys.Derive("ann@contoso", resource), ""},
		"signed, but an empty id":        {keys.Derive("", resource), ""},
		"signed, but an id with a brace": {keys.Derive("{aaaaaaaaaaaaaa}", resource), ""},
		"signed, but an id of two lines": {keys.Derive("a\n", resource), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := keys.Verify(tt.state)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("Verify = %q, %t, want %q, %t", got, ok, tt.want, tt.want != "")
			}
		})
	}
	for i := range len(valid) {
		changed := []byte(valid)
		changed[i] ^= 1
		if _, ok := keys.Verify(string(changed)); ok {
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
			if _, ok := keys.Verify(foreign.Derive(ann, resource)); ok || keys.Accepts("") || keys.Accepts(foreign.Tag()) {
				t.Error("Verify or Accepts = true, want false")
			}
		})
	}
}

func TestTagDuringRotation(t *testing.T) {
	before, during, after := ooo.NewClientStateKeys("older"), ooo.NewClientStateKeys("newer", "older"), ooo.NewClientStateKeys("newer")
	if before.Tag() == during.Tag() || during.Tag() != after.Tag() || len(during.Tag()) != 8 {
		t.Errorf("Tags = %s, %s, %s, want that of the newer secret from the second on, 8 characters", before.Tag(), during.Tag(), after.Tag())
	}
	if !during.Accepts(before.Tag()) || !during.Accepts(after.Tag()) {
		t.Error("Accepts = false during the rotation, want both secrets accepted")
	}
	if after.Accepts(before.Tag()) || after.Accepts("") {
		t.Error("Accepts = true after the rotation, want the older secret and an empty tag rejected")
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
		user, ok := keys.Verify(state)
		if want := genuine[state]; user != want || ok != (want != "") {
			t.Errorf("Verify(%q) = %q, %t, want %q", state, user, ok, want)
		}
	})
}
