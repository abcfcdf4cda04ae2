package webhook

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestWhatGraphSendsIsPlain(t *testing.T) {
	one := `{"id":"1","subscriptionId":"s","clientState":"c","changeType":"updated","resourceData":{"@odata.type":"x","id":"y"}}`
	tests := map[string]struct {
		body  string
		plain bool
	}{
		"one item":                  {`{"value":[` + one + `]}`, true},
		"several, and tokens":       {`{"validationTokens":["a.b.c"],"value":[` + one + "," + one + `]}`, true},
		"null, numbers and nothing": {`{"value":[null,1,"x",[],{},` + one + `]}`, true},
		"fields of an odd kind":     {`{"value":[{"changeType":"updated","clientState":5,"id":null}]}`, true},
		"another letter case":       {`{"Value":[` + strings.Replace(one, "clientState", "ClientState", 1) + `]}`, true},
		"an escape in a field":      {`{"value":[` + strings.Replace(one, `"c"`, `"\u0063"`, 1) + `]}`, false},
		"an escape in a name":       {`{"value":[` + strings.Replace(one, `clientState`, `client\u0053tate`, 1) + `]}`, false},
		"items twice":               {`{"value":[],"value":[` + one + `]}`, false},
		"no array":                  {`{"value":null}`, false},
		"no items":                  {`{"values":[]}`, false},
		"no object":                 {`[` + one + `]`, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := decodePlain([]byte(tt.body))
			if ok != tt.plain {
				t.Fatalf("plain = %v, want %v", ok, tt.plain)
			}
			if want, err := decodeAny([]byte(tt.body)); ok && (err != nil || !reflect.DeepEqual(got, want)) {
				t.Errorf("decodePlain = %+v, want %+v, %v", got, want, err)
			}
		})
	}
}

func TestAnIgnoredItemCostsNoAllocation(t *testing.T) {
	allocations := func(items int) float64 {
		body := []byte(`{"value":[{"changeType":"","clientState":"x"}` + strings.Repeat(`,{"id":"2","changeType":7,"clientState":"abc"},null`, items) + `]}`)
		return testing.AllocsPerRun(20, func() {
			if c, ok := decodePlain(body); !ok || c.ignored != 1+2*items {
				t.Errorf("ignored = %d, %v, want %d", c.ignored, ok, 1+2*items)
			}
		})
	}
	if few, many := allocations(1), allocations(500); many > few {
		t.Errorf("allocations = %v for 3 items, %v for 1001, want the same", few, many)
	}
}

func FuzzPlain(f *testing.F) {
	for _, seed := range []string{
		`{"value":[{"id":"1","subscriptionId":"s","clientState":"c","changeType":"updated"}]}`,
		`{"VALUE":[{"lifecycleEvent":"missed","clientState":null}],"validationTokens":["x"]}`,
		`{"value":[{"changeType":"updated","encryptedContent":{"data":"eA=="}}],"validationTokens":["a.b.c",null]}`,
		`{"value":[null,1,{}]}`, `{"value":[{"changeType":"a","changeType":null}],"validationTokens":{},"validationTokens":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := decodePlain(body)
		if !json.Valid(body) {
			if ok {
				t.Errorf("decodePlain = %+v, want it to refuse what is no JSON", got)
			}
			return
		}
		if want, err := decodeAny(body); ok && (err != nil || !reflect.DeepEqual(got, want)) {
			t.Errorf("decodePlain = %+v, want %+v, %v", got, want, err)
		}
	})
}
