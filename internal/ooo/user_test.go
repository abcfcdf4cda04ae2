package ooo_test

import (
	"errors"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
)

func TestKeyOfFoldsAddresses(t *testing.T) {
	tests := map[string]struct {
		one, other string
		same       bool
	}{
		"the same":                     {"ann@contoso.example", "ann@contoso.example", true},
		"capitals in the name":         {"ann@contoso.example", "Ann@contoso.example", true},
		"capitals everywhere":          {"ann@contoso.example", "ANN@CONTOSO.EXAMPLE", true},
		"spaces around it":             {"ann@contoso.example", " ann@contoso.example\n", true},
		"capitals of other alphabets":  {"müller@contoso.example", "MÜLLER@contoso.example", true},
		"another name":                 {"ann@contoso.example", "bob@contoso.example", false},
		"another domain":               {"ann@contoso.example", "ann@fabrikam.example", false},
		"dots count":                   {"ann.lee@contoso.example", "annlee@contoso.example", false},
		"a space within counts":        {"ann lee@contoso.example", "annlee@contoso.example", false},
		"a tag after a plus counts":    {"ann@contoso.example", "ann+x@contoso.example", false},
		"an accent counts":             {"rene@contoso.example", "rené@contoso.example", false},
		"a character more at the tail": {"ann@contoso.example", "ann@contoso.example.", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			one, other := ooo.KeyOf(tt.one), ooo.KeyOf(tt.other)
			if same := one == other; same != tt.same {
				t.Errorf("KeyOf = %s and %s, same = %t, want %t", one, other, same, tt.same)
			}
			if !ooo.ValidKey(one) || !ooo.ValidKey(other) {
				t.Errorf("KeyOf = %s and %s, want keys of the right form", one, other)
			}
		})
	}
}

// Records in Redis and clientStates at Graph outlive the program that made them.
func TestKeyOfStaysTheSame(t *testing.T) {
	const want = "2v4ptlth4zgkq5ij"
	if got := ooo.KeyOf("ann@contoso.example"); got != want {
		t.Errorf("KeyOf = %s, want %s as in every version", got, want)
	}
}

func TestValidKey(t *testing.T) {
	tests := map[string]struct {
		key  ooo.Key
		want bool
	}{
		"letters":              {"abcdefghijklmnop", true},
		"letters and digits":   {"qrstuvwxyz234567", true},
		"empty":                {"", false},
		"too short":            {"abcdefghijklmno", false},
		"too long":             {"abcdefghijklmnopq", false},
		"capitals":             {"ABCDEFGHIJKLMNOP", false},
		"a zero":               {"abcdefghijklmno0", false},
		"a one":                {"abcdefghijklmno1", false},
		"an eight":             {"abcdefghijklmno8", false},
		"a colon":              {"abcdefghijklmn:p", false},
		"braces":               {"{bcdefghijklmno}", false},
		"a letter of two byte": {"abcdefghijklmnä", false},
		"a line break":         {"abcdefghijklmno\n", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ooo.ValidKey(tt.key); got != tt.want {
				t.Errorf("ValidKey(%q) = %t, want %t", tt.key, got, tt.want)
			}
		})
	}
}

func TestParseAddress(t *testing.T) {
	longest := strings.Repeat("a", 320-len("@contoso.example")) + "@contoso.example"
	tests := map[string]struct{ text, want string }{
		"an address":                     {"ann@contoso.example", "ann@contoso.example"},
		"its spelling is kept":           {"Ann.Lee@Contoso.Example", "Ann.Lee@Contoso.Example"},
		"spaces around it are dropped":   {"\t ann@contoso.example \r\n", "ann@contoso.example"},
		"a guest's address":              {"ann_fabrikam.example#EXT#@contoso.onmicrosoft.example", "ann_fabrikam.example#EXT#@contoso.onmicrosoft.example"},
		"an apostrophe":                  {"o'hara@contoso.example", "o'hara@contoso.example"},
		"letters of other alphabets":     {"müller@contoso.example", "müller@contoso.example"},
		"an at sign in quotes":           {`"a@b"@contoso.example`, `"a@b"@contoso.example`},
		"a domain without a dot":         {"ann@localhost", "ann@localhost"},
		"the longest":                    {longest, longest},
		"one byte longer than that":      {"a" + longest, ""},
		"empty":                          {"", ""},
		"spaces alone":                   {" \t ", ""},
		"no at sign":                     {"ann.contoso.example", ""},
		"no name":                        {"@contoso.example", ""},
		"no name but a space":            {" @contoso.example", ""},
		"no domain":                      {"ann@", ""},
		"no domain but a space":          {"ann@ ", ""},
		"an at sign alone":               {"@", ""},
		"a line break within":            {"ann@contoso.example\nbob@contoso.example", ""},
		"a NUL within":                   {"ann\x00@contoso.example", ""},
		"a control character beyond 127": {"ann\u0085x@contoso.example", ""},
		"text that is not UTF-8":         {"ann\xff@contoso.example", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ooo.ParseAddress(tt.text)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("ParseAddress(%q) = %q, %v, want %q", tt.text, got, err, tt.want)
			}
			if err != nil && !errors.Is(err, ooo.ErrBadAddress) {
				t.Errorf("ParseAddress(%q) = %v, want ErrBadAddress", tt.text, err)
			}
		})
	}
}

func TestParseAddressErrorsRepeatNoAddress(t *testing.T) {
	_, err := ooo.ParseAddress("ann\x00@contoso.example")
	if err == nil || strings.Contains(err.Error(), "contoso") {
		t.Errorf("ParseAddress = %v, want an error without the address", err)
	}
}

func TestResourcePath(t *testing.T) {
	tests := map[string]struct{ template, want string }{
		"the default":            {"/users/{id}/events", "/users/oid/events"},
		"the id twice":           {"/users/{id}/events?$filter=x eq '{id}'", "/users/oid/events?$filter=x eq 'oid'"},
		"a template without one": {"/me/events", "/me/events"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ooo.ResourcePath(tt.template, "oid"); got != tt.want {
				t.Errorf("ResourcePath(%s) = %s, want %s", tt.template, got, tt.want)
			}
		})
	}
}
