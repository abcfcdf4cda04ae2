package ooo_test

import (
	"errors"
	"strings"
	"testing"

	"outlook-monitor/internal/ooo"
)

func TestParseAddress(t *testing.T) {
	longest := strings.Repeat("a", 320-len("@contoso.example")) + "@contoso.example"
	for name, tt := range map[string]struct{ text, want string }{
		"plain":                {"ann@contoso.example", "ann@contoso.example"},
		"spelling is kept":     {"Jörg.Lee@Contoso.Example", "Jörg.Lee@Contoso.Example"},
		"spaces around it":     {"\t ann@contoso.example \r\n", "ann@contoso.example"},
		"guest":                {"ann_fabrikam.example#EXT#@contoso.onmicrosoft.example", "ann_fabrikam.example#EXT#@contoso.onmicrosoft.example"},
		"quoted at sign":       {`"a@b"@contoso.example`, `"a@b"@contoso.example`},
		"domain without a dot": {"ann@localhost", "ann@localhost"},
		"longest":              {longest, longest},
		"too long":             {"\u212a" + longest[2:], ""}, // the Kelvin sign: 3 bytes, 1 when folded
		"too long when folded": {strings.Repeat("Ⱥ", 140) + "@contoso.example", ""},
		"empty":                {"", ""},
		"no at sign":           {"ann.contoso.example", ""},
		"no name":              {"@contoso.example", ""},
		"no domain":            {"ann@", ""},
		"control character":    {"ann\u0085x@contoso.example", ""},
		"invalid UTF-8":        {"ann\xff@contoso.example", ""},
	} {
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
	if got := ooo.ResourcePath("/users/{id}/events?$filter=x eq '{id}'", "oid"); got != "/users/oid/events?$filter=x eq 'oid'" {
		t.Errorf("ResourcePath = %s, want both ids replaced", got)
	}
}
