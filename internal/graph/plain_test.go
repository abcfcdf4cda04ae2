package graph_test

import (
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/graph"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/ooo"
)

const plainTwo = `{"responses":[{"id":"1","status":200,"headers":{"Content-Type":"application/json"},"body":{"status":"disabled","externalReplyMessage":"a \"quoted\\\" word"}},` +
	` {"body" : {"status":"alwaysEnabled"} , "status":200,"id":"0"}]}`

func TestPlainAnswersAreToldFromOthers(t *testing.T) {
	tests := map[string]struct {
		answer string
		plain  bool
	}{
		"all read, in any order":            {plainTwo, true},
		"with members that nobody asks for": {`{"@odata.context":"x",` + plainTwo[1:], true},
		"white space all around":            {" \n" + strings.ReplaceAll(plainTwo, ",", " ,\t") + "\r\n", true},
		"one refused":                       {strings.Replace(plainTwo, "200", "429", 1), false},
		"one without a body":                {strings.Replace(plainTwo, `"body"`, `"bodies"`, 1), false},
		"one missing":                       {`{"responses":[{"id":"0","status":200,"body":{"status":"disabled"}}]}`, false},
		"one twice":                         {strings.Replace(plainTwo, `"0"`, `"1"`, 1), false},
		"a place that was not asked for":    {strings.Replace(plainTwo, `"0"`, `"2"`, 1), false},
		"a number as id":                    {strings.Replace(plainTwo, `"0"`, `000`, 1), false},
		"names in another letter case":      {strings.Replace(plainTwo, `"status":200`, `"Status":200`, 1), true},
		"a name that comes twice":           {strings.Replace(plainTwo, `"status":200`, `"status":200,"status":200`, 1), true},
		"a name with an escape":             {strings.Replace(plainTwo, `"status":200`, `"st\u0061tus":200`, 1), true},
		"a body that is no JSON":            {strings.Replace(plainTwo, `{"status":"alwaysEnabled"}`, `{"status":nothing}`, 1), false},
		"a body that is no object":          {strings.Replace(plainTwo, `{"status":"alwaysEnabled"}`, `"alwaysEnabled"`, 1), false},
		"cut short":                         {plainTwo[:len(plainTwo)-1], false},
		"something after it":                {plainTwo + "x", false},
		"no JSON":                           {"<html>", false},
		"nothing":                           {"", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			readings := []ooo.Reading{{ID: "a"}, {ID: "b"}}
			if got := graph.DecodePlain([]byte(tt.answer), readings); got != tt.plain {
				t.Fatalf("plain = %v, want %v", got, tt.plain)
			}
			if !tt.plain {
				if readings[0] != (ooo.Reading{ID: "a"}) || readings[1] != (ooo.Reading{ID: "b"}) {
					t.Errorf("readings = %+v, want them as they were", readings)
				}
				return
			}
			if readings[0].Setting.Status != ooo.AlwaysEnabled || readings[1].Setting.Status != ooo.Disabled {
				t.Errorf("readings = %+v, want ann away and bob not", readings)
			}
			same := slices.Clone(readings)
			if !graph.DecodePlain([]byte(tt.answer), same) || !same[0].Same || !same[1].Same {
				t.Errorf("readings the second time = %+v, want them to be the same", same)
			}
		})
	}
}

func TestAKnownAnswerIsNotDecodedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, graphsim.Config{})
	c, all := w.client(), w.users(4)
	for name, ids := range map[string][]ooo.ObjectID{"alone": all[:1], "together": all[1:]} {
		known := make([]ooo.Digest, len(ids))
		for i, r := range c.Read(t.Context(), ids, known) {
			if r.Same || r.Setting.Status == "" {
				t.Fatalf("%s: first reading = %+v, want the setting", name, r)
			}
			known[i] = r.Digest
		}
		for _, r := range c.Read(t.Context(), ids, known) {
			if r.Err != nil || !r.Same || r.Setting != (ooo.Setting{}) {
				t.Errorf("%s: second reading = %+v, want it to be the same", name, r)
			}
		}
		if _, err := w.SetAutomaticReplies(string(ids[0]), graphsim.AutomaticRepliesUpdate{ExternalReplyMessage: new("News from " + name)}); err != nil {
			t.Fatal(err)
		}
		for i, r := range c.Read(t.Context(), ids, known) {
			if r.Err != nil || r.Same != (i > 0) || (i == 0) != (r.Setting.ExternalReply == "News from "+name) {
				t.Errorf("%s: reading %d after a change = %+v, want only the first to differ", name, i, r)
			}
		}
	}
}

func FuzzPlainBatch(f *testing.F) {
	f.Add([]byte(plainTwo), 2)
	for _, tt := range batchAnswers {
		f.Add([]byte(tt.answer), 2)
	}
	f.Fuzz(func(t *testing.T, answer []byte, count int) {
		plain := make([]ooo.Reading, max(count%21, 1))
		whole := slices.Clone(plain)
		if !graph.DecodePlain(answer, plain) {
			return
		}
		if err := graph.DecodeAny(answer, whole); err != nil || !slices.EqualFunc(plain, whole, alike) {
			t.Errorf("plain = %+v, want %+v, error %v", plain, whole, err)
		}
	})
}

func alike(a, b ooo.Reading) bool {
	return a.Setting == b.Setting && a.Digest == b.Digest && (a.Err == nil) == (b.Err == nil)
}
