package ooo_test

import (
	"encoding/json"
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

func TestDeriveAndVerify(t *testing.T) {
	keys := ooo.NewClientStateKeys("secret")
	for _, user := range []ooo.ObjectID{ann, bob} {
		state := keys.Derive(user, resource)
		if got, ok := keys.Verify(state); !ok || got != user {
			t.Errorf("Verify(Derive(%s)) = %s, %t, want %s", user, got, ok, user)
		}
		if len(state) != 89 {
			t.Errorf("Derive(%s) has %d characters, want 89", user, len(state))
		}
		if again := keys.Derive(user, resource); again != state {
			t.Errorf("second Derive(%s) = %s, want %s", user, again, state)
		}
	}
}

func TestDeriveDependsOnMailboxResourceAndSecret(t *testing.T) {
	keys, other := ooo.NewClientStateKeys("secret"), ooo.NewClientStateKeys("another")
	seen := map[string]string{}
	for name, state := range map[string]string{
		"base":             keys.Derive(ann, resource),
		"another mailbox":  keys.Derive(bob, resource),
		"another resource": keys.Derive(ann, "/users/{id}/messages"),
		"another secret":   other.Derive(ann, resource),
	} {
		if same, ok := seen[state]; ok {
			t.Errorf("clientStates of %q and %q are the same", name, same)
		}
		seen[state] = name
	}
}

func TestVerify(t *testing.T) {
	keys := ooo.NewClientStateKeys("newer", "older")
	valid := keys.Derive(ann, resource)
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
		"signed, but too long":           {keys.Derive(ooo.ObjectID(strings.Repeat("a", 100)), resource), ""},
		"signed, but no object id":       {keys.Derive("ann@contoso", resource), ""},
		"signed, but an empty id":        {keys.Derive("", resource), ""},
		"signed, but an id with a brace": {keys.Derive("{aaaaaaaaaaaaaa}", resource), ""},
	}
	for i := range len(valid) {
		tests[fmt.Sprintf("changed character %d", i)] = struct {
			state string
			want  ooo.ObjectID
		}{valid[:i] + otherThan(valid[i:i+1]) + valid[i+1:], ""}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := keys.Verify(tt.state)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("Verify = %q, %t, want %q, %t", got, ok, tt.want, tt.want != "")
			}
		})
	}
}

// otherThan returns a valid clientState character other than c.
func otherThan(c string) string {
	if c == "A" {
		return "B"
	}
	return "A"
}

func TestKeysWithoutSecrets(t *testing.T) {
	foreign := ooo.NewClientStateKeys("secret")
	tests := map[string]ooo.ClientStateKeys{
		"zero value":    {},
		"no secrets":    ooo.NewClientStateKeys(),
		"empty secrets": ooo.NewClientStateKeys("", ""),
	}
	for name, keys := range tests {
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
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(text)
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
