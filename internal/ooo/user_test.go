package ooo_test

import (
	"errors"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
)

func TestFoldAddress(t *testing.T) {
	tests := map[string]struct {
		other string
		same  bool
	}{
		"the same":                     {"ann.lee@contoso.example", true},
		"capitals":                     {"ANN.Lee@CONTOSO.example", true},
		"spaces around it":             {" ann.lee@contoso.example\n", true},
		"another name":                 {"bob@contoso.example", false},
		"another domain":               {"ann.lee@fabrikam.example", false},
		"dots count":                   {"annlee@contoso.example", false},
		"a space within counts":        {"ann. lee@contoso.example", false},
		"a tag after a plus counts":    {"ann.lee+x@contoso.example", false},
		"an accent counts":             {"ann.lée@contoso.example", false},
		"a character more at the tail": {"ann.lee@contoso.example.", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if same := ooo.FoldAddress("ann.lee@contoso.example") == ooo.FoldAddress(tt.other); same != tt.same {
				t.Errorf("FoldAddress(%q) is the same = %t, want %t", tt.other, same, tt.same)
			}
		})
	}
	if ooo.FoldAddress("MÜLLER@contoso.example") != ooo.FoldAddress("müller@contoso.example") {
		t.Error("FoldAddress of MÜLLER and müller differ, want letters of all alphabets folded")
	}
}

func TestValidObjectID(t *testing.T) {
	tests := map[string]struct {
		id   ooo.ObjectID
		want bool
	}{
		"a GUID":               {"00000000-0000-0000-0000-00000000000f", true},
		"in capitals":          {"ABCDEF00-0000-0000-0000-000000000001", true},
		"short":                {"a", true},
		"the longest":          {ooo.ObjectID(strings.Repeat("a", 64)), true},
		"too long":             {ooo.ObjectID(strings.Repeat("a", 65)), false},
		"empty":                {"", false},
		"an address":           {"ann@contoso", false},
		"a slash":              {"a/b", false},
		"a tab":                {"a\tb", false},
		"a dot":                {"a.b", false},
		"braces":               {"{a}", false},
		"a letter of two byte": {"ä", false},
		"a line break":         {"a\n", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ooo.ValidObjectID(tt.id); got != tt.want {
				t.Errorf("ValidObjectID(%q) = %t, want %t", tt.id, got, tt.want)
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
		"one that is longer when folded": {strings.Repeat("Ⱥ", 140) + "@contoso.example", ""},
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
			if err != nil && (!errors.Is(err, ooo.ErrBadAddress) || strings.Contains(err.Error(), "contoso")) {
				t.Errorf("ParseAddress(%q) = %v, want ErrBadAddress without the address", tt.text, err)
			}
		})
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
