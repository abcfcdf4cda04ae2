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

func TestClientStateNamesItsMailbox(t *testing.T) {
	keys := ooo.NewClientStateKeys("secret")
	for _, user := range []ooo.ObjectID{ann, bob} {
		state := keys.Derive(user, resource)
		if got, ok := keys.Verify(state); !ok || got != user {
			t.Errorf("Verify(Derive(%s)) = %s, %t, want %s", user, got, ok, user)
		}
		if len(state) != 89 {
			t.Errorf("a clientState has %d characters, want 89", len(state))
		}
		if again := keys.Derive(user, resource); again != state {
			t.Error("Derive of the same = another clientState, want the same on every replica")
		}
	}
}

func TestClientStateDiffersByMailboxResourceAndSecret(t *testing.T) {
	keys, other := ooo.NewClientStateKeys("secret"), ooo.NewClientStateKeys("another")
	seen := map[string]string{}
	for name, state := range map[string]string{
		"ann's events":              keys.Derive(ann, resource),
		"bob's events":              keys.Derive(bob, resource),
		"ann's messages":            keys.Derive(ann, "/users/{id}/messages"),
		"ann's with another secret": other.Derive(ann, resource),
	} {
		if twin, ok := seen[state]; ok {
			t.Errorf("clientStates of %s and %s are the same, want different ones", name, twin)
		}
		seen[state] = name
	}
}

func TestVerify(t *testing.T) {
	keys := ooo.NewClientStateKeys("newer", "older")
	right := keys.Derive(ann, resource)
	swapped := string(bob) + strings.TrimPrefix(right, string(ann))
	tests := map[string]struct {
		state string
		want  ooo.ObjectID
	}{
		"a right one":                             {right, ann},
		"one of the secret before":                {ooo.NewClientStateKeys("older").Derive(ann, resource), ann},
		"one of a secret that was dropped":        {ooo.NewClientStateKeys("oldest").Derive(ann, resource), ""},
		"none":                                    {"", ""},
		"a space":                                 {" ", ""},
		"another mailbox on it":                   {swapped, ""},
		"another resource's tag on it":            {string(ann) + ".AAAAAAAA." + right[strings.LastIndexByte(right, '.')+1:], ""},
		"the last character missing":              {right[:len(right)-1], ""},
		"a character more":                        {right + "A", ""},
		"padding after it":                        {right + "=", ""},
		"a space before it":                       {" " + right, ""},
		"in capitals":                             {strings.ToUpper(right), ""},
		"the signature alone":                     {right[strings.LastIndexByte(right, '.'):], ""},
		"no signature":                            {right[:strings.LastIndexByte(right, '.')], ""},
		"an empty signature":                      {right[:strings.LastIndexByte(right, '.')+1], ""},
		"dots alone":                              {strings.Repeat(".", 89), ""},
		"longer than Graph allows":                {strings.Repeat("a", 128) + right, ""},
		"rightly signed, but longer than allowed": {keys.Derive(ooo.ObjectID(strings.Repeat("a", 100)), resource), ""},
		"rightly signed, but no object id":        {keys.Derive("ann@contoso", resource), ""},
		"rightly signed, but an empty id":         {keys.Derive("", resource), ""},
		"rightly signed, but an id with a brace":  {keys.Derive("{aaaaaaaaaaaaaa}", resource), ""},
	}
	for i := range len(right) {
		tests[fmt.Sprintf("character %d changed", i)] = struct {
			state string
			want  ooo.ObjectID
		}{right[:i] + otherThan(right[i:i+1]) + right[i+1:], ""}
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

// otherThan returns a character that may stand in a clientState and is not c.
func otherThan(c string) string {
	if c == "A" {
		return "B"
	}
	return "A"
}

func TestWithoutSecretsNothingIsVerified(t *testing.T) {
	nothing := ooo.NewClientStateKeys("secret").Derive(ann, resource)
	tests := map[string]ooo.ClientStateKeys{
		"the zero keys": {},
		"no secrets":    ooo.NewClientStateKeys(),
		"empty secrets": ooo.NewClientStateKeys("", ""),
	}
	for name, keys := range tests {
		t.Run(name, func(t *testing.T) {
			if state, tag := keys.Derive(ann, resource), keys.Tag(); state != "" || tag != "" {
				t.Errorf("Derive, Tag = %q, %q, want nothing", state, tag)
			}
			if _, ok := keys.Verify(nothing); ok || keys.Accepts("") || keys.Accepts(ooo.NewClientStateKeys("secret").Tag()) {
				t.Error("Verify or Accepts = true, want false")
			}
		})
	}
}

func TestTagsFollowTheRotation(t *testing.T) {
	before, during, after := ooo.NewClientStateKeys("older"), ooo.NewClientStateKeys("newer", "older"), ooo.NewClientStateKeys("newer")
	if before.Tag() == during.Tag() || during.Tag() != after.Tag() || len(during.Tag()) != 8 {
		t.Errorf("Tags = %s, %s, %s, want the newer secret's from the second on, 8 characters", before.Tag(), during.Tag(), after.Tag())
	}
	if !during.Accepts(before.Tag()) || !during.Accepts(after.Tag()) {
		t.Error("Accepts while rotating = false, want both secrets accepted")
	}
	if after.Accepts(before.Tag()) || after.Accepts("") {
		t.Error("Accepts after rotating = true, want the older secret and none refused")
	}
}

func TestClientStateKeysCanNotPrintThemselves(t *testing.T) {
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
			t.Errorf("keys printed themselves as %s, want nothing of them", form)
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
