package jsonwalk_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"outlook-monitor/internal/jsonwalk"
)

// walk goes over everything and returns the text that it has found, without
// white space.
func walk(text []byte) (string, bool) {
	var found bytes.Buffer
	c := jsonwalk.Over(text)
	var value func()
	value = func() {
		switch c.Next() {
		case '{':
			sep := byte('{')
			c.Object(func(name []byte) {
				found.WriteByte(sep)
				sep = ','
				found.WriteString(`"` + string(name) + `":`)
				value()
			})
			if sep == '{' {
				found.WriteByte('{')
			}
			found.WriteByte('}')
		case '[':
			sep := byte('[')
			c.Array(func() { found.WriteByte(sep); sep = ','; value() })
			if sep == '[' {
				found.WriteByte('[')
			}
			found.WriteByte(']')
		default:
			found.Write(c.Value())
		}
	}
	value()
	return found.String(), c.Ended()
}

func TestEverythingIsFound(t *testing.T) {
	tests := map[string]struct {
		text, want string
		ok         bool
	}{
		"an object":                  {` {"a" : 1 , "b":[true,null, -1.5e3],"c":{"d":"x"}} `, `{"a":1,"b":[true,null,-1.5e3],"c":{"d":"x"}}`, true},
		"empty ones":                 {"[{}, []]\n", "[{},[]]", true},
		"quotes inside a string":     {`["a\"b","c\\","\\\"d"]`, `["a\"b","c\\","\\\"d"]`, true},
		"a lone value":               {`"x"`, `"x"`, true},
		"brackets inside a string":   {`["}]{["]`, `["}]{["]`, true},
		"a name with an escape":      {`{"\u0061":1}`, "", false},
		"a string without an end":    {`["a]`, "", false},
		"a string that ends escaped": {`["a\"]`, "", false},
		"an object without an end":   {`{"a":1`, "", false},
		"no value":                   {`{"a":}`, "", false},
		"a comma too many":           {`{"a":1,}`, "", false},
		"a comma too few":            {`[1 2]`, "", false},
		"a bracket too many":         {`[1]]`, "", false},
		"something after it":         {`{} x`, "", false},
		"nothing":                    {``, "", false},
		"white space alone":          {" \t", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := walk([]byte(tt.text))
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("walk = %s, %v, want %s, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestABalkEndsTheWalk(t *testing.T) {
	c := jsonwalk.Over([]byte(`[1,2,3]`))
	calls := 0
	c.Array(func() {
		if calls++; calls == 2 {
			c.Balk()
		}
		c.Value()
	})
	if calls != 2 || c.Ended() {
		t.Errorf("%d values, ended %v, want it to stop at the second", calls, c.Ended())
	}
}

// TestStrictWalksBalkAtWhatIsNoJSON compares with encoding/json.
func TestStrictWalksBalkAtWhatIsNoJSON(t *testing.T) {
	for _, text := range []string{
		`0`, `-0`, `00`, `01`, `-`, `+1`, `1.`, `.5`, `1.5`, `1e`, `1e+`, `1E-2`, `1e5x`, `0x1`, `NaN`,
		`true`, `tru`, `truex`, `false`, `null`, `nul`, `True`,
		`"a"`, `"`, `"\`, `"\"`, `"\n"`, `"\x"`, `"\u12aF"`, `"\u12"`, `"\u12g4"`, "\"\x1f\"", "\"\x7f\"", "\"\xff\"", `"\/\b\f\r\t\\"`,
		`{}`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{a:1}`, `{"a":{"b":[{}]}}`,
		`[]`, `[`, `]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[[[]]]`, `[1}`, `{"a":1]`, ``, ` `, "\v1", " \t\r\n1\n", `1 1`, "\ufeff1",
		strings.Repeat("[", 60) + strings.Repeat("]", 60),
	} {
		c := jsonwalk.StrictlyOver([]byte(text))
		c.Value()
		if got, want := c.Ended(), json.Valid([]byte(text)); got != want {
			t.Errorf("strict walk over %q = %v, want %v", text, got, want)
		}
	}
	deep := jsonwalk.StrictlyOver([]byte(strings.Repeat("[", 1_000_000)))
	if deep.Value(); deep.Ended() {
		t.Error("the walk went a million deep, want it to balk")
	}
}

// FuzzWalk checks that what is JSON is found whole, unless a name has an escape.
func FuzzWalk(f *testing.F) {
	for _, text := range []string{`{"a":[1,"x\\",{"b":null}],"c":"\""}`, `[]`, `{`, `"\\"`, ` 1 `} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		strict := jsonwalk.StrictlyOver(text)
		strict.Value()
		if valid := json.Valid(text); strict.Ended() && !valid || valid && !strict.Ended() && !bytes.ContainsAny(text, `\`) && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) < 64 {
			t.Errorf("strict walk over %q = %v, want %v", text, strict.Ended(), valid)
		}
		got, ok := walk(text)
		var want bytes.Buffer
		if json.Compact(&want, text) != nil || bytes.Contains(text, []byte(`\u`)) || bytes.Contains(text, []byte(`\`)) && !ok {
			return
		}
		if !ok || got != want.String() {
			t.Errorf("walk(%s) = %s, %v, want %s", text, got, ok, want.String())
		}
	})
}
