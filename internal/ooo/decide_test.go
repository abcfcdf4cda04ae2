package ooo_test

import (
	"reflect"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

var (
	opens  = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	closes = opens.Add(8 * time.Hour)
	never  time.Time
)

// reply returns a setting with both replies.
func reply(status ooo.Status) ooo.Setting {
	return ooo.Setting{Status: status, InternalReply: "<p>To colleagues</p>", ExternalReply: "<p>To others</p>"}
}

// window returns a scheduled setting.
func window(start, end time.Time) ooo.Setting {
	s := reply(ooo.Scheduled)
	s.Start, s.End = start, end
	return s
}

func TestDecideStateAndEdge(t *testing.T) {
	always := ooo.Policy{Scheduled: ooo.ScheduledAlways}
	inWindow := ooo.Policy{Scheduled: ooo.ScheduledWindow}
	for name, tt := range map[string]struct {
		policy  ooo.Policy
		setting ooo.Setting
		now     time.Time
		away    bool
		edge    time.Time
	}{
		"disabled":                  {inWindow, reply(ooo.Disabled), opens, false, never},
		"always enabled":            {inWindow, reply(ooo.AlwaysEnabled), opens, true, never},
		"just before the start":     {inWindow, window(opens, closes), opens.Add(-1), false, opens},
		"at the start":              {inWindow, window(opens, closes), opens, true, closes},
		"just before the end":       {inWindow, window(opens, closes), closes.Add(-1), true, closes},
		"at the end":                {inWindow, window(opens, closes), closes, false, never},
		"empty window":              {inWindow, window(opens, opens), opens.Add(-time.Hour), false, never},
		"end before start":          {inWindow, window(closes, opens), opens.Add(-time.Hour), false, never},
		"zero policy in the window": {ooo.Policy{}, window(opens, closes), opens, true, closes},
		"always: before the window": {always, window(opens, closes), opens.Add(-time.Hour), true, never},
		"always: end before start":  {always, window(closes, opens), opens, true, never},
		"always: disabled":          {always, reply(ooo.Disabled), opens, false, never},
	} {
		t.Run(name, func(t *testing.T) {
			d := tt.policy.Decide(nil, tt.policy.Apply(tt.setting), tt.now)
			if want := (ooo.State{Away: tt.away, Message: "To others"}); d.State != want || !d.Edge.Equal(tt.edge) {
				t.Errorf("Decide = %+v until %v, want %+v until %v", d.State, d.Edge, want, tt.edge)
			}
		})
	}
}

func TestApplySelectsSpokenText(t *testing.T) {
	const silent = "<p> <br/>&nbsp;- … ***<style>p{}</style></p>"
	for name, tt := range map[string]struct {
		policy             ooo.Policy
		internal, external string
		want               string
	}{
		"external":                       {ooo.Policy{Message: ooo.ExternalMessage}, "<p>In</p>", "<p>Out</p>", "Out"},
		"internal":                       {ooo.Policy{Message: ooo.InternalMessage}, "<p>In</p>", "<p>Out</p>", "In"},
		"default":                        {ooo.Policy{}, "<p>In</p>", "<p>Out</p>", "Out"},
		"empty external":                 {ooo.Policy{}, "<p>In</p>", "", "In"},
		"external with nothing to speak": {ooo.Policy{}, "<p>In</p>", silent, "In"},
		"internal with nothing to speak": {ooo.Policy{Message: ooo.InternalMessage}, silent, "<p>Out</p>", "Out"},
		"nothing to speak":               {ooo.Policy{}, silent, "", ""},
		"limit":                          {ooo.Policy{Limit: 12}, "", "<p>One two.</p><p>Three four.</p>", "One two."},
		"limit of the fallback":          {ooo.Policy{Limit: 8}, "<p>One two three</p>", "", "One two"},
	} {
		t.Run(name, func(t *testing.T) {
			setting := ooo.Setting{Status: ooo.AlwaysEnabled, InternalReply: tt.internal, ExternalReply: tt.external}
			got := tt.policy.Apply(setting)
			if want := (ooo.Setting{Status: ooo.AlwaysEnabled, Message: tt.want}); got != want {
				t.Errorf("Apply = %+v, want %+v", got, want)
			}
		})
	}
}

func TestPolicyTag(t *testing.T) {
	for field, value := range reflect.ValueOf(ooo.Policy{}).Fields() {
		var p ooo.Policy
		switch f := reflect.ValueOf(&p).Elem().FieldByIndex(field.Index); value.Kind() {
		case reflect.String:
			f.SetString("other")
		default: // it panics for a kind that needs a case of its own
			f.SetInt(1)
		}
		if p.Tag() == (ooo.Policy{}).Tag() {
			t.Errorf("Tag is the same whatever %s", field.Name)
		}
	}
	const before = "2,window,external,0" // with another one, an upgrade decides all states again
	if zero, defaults := (ooo.Policy{}).Tag(), (ooo.Policy{Scheduled: ooo.ScheduledWindow, Message: ooo.ExternalMessage}).Tag(); zero != before || defaults != before {
		t.Errorf("tags of the zero and the default policy = %q and %q, want %q", zero, defaults, before)
	}
}

func TestShorten(t *testing.T) {
	for name, tt := range map[string]struct {
		text  string
		limit int
		want  string
	}{
		"no limit":                    {"One. Two.", 0, "One. Two."},
		"within the limit":            {"One. Two.", 9, "One. Two."},
		"after a sentence":            {"One two. Three four.", 14, "One two."},
		"sentence ends at the limit":  {"One two. Three", 8, "One two."},
		"sentence ends too early":     {"No. One two three four five", 20, "No. One two three"},
		"after a word":                {"One two three four", 10, "One two"},
		"word ends at the limit":      {"One two three", 7, "One two"},
		"dot in a word":               {"See example.com today please", 20, "See example.com"},
		"one long word":               {"Donaudampfschiff", 5, "Donau"},
		"Chinese full stop":           {"我不在。请稍后再打来", 6, "我不在。"},
		"Arabic question":             {"هل الأمر عاجل؟ راسلونا غدا", 18, "هل الأمر عاجل؟"},
		"last space too early":        {"An 0123456789012345", 10, "An 0123456"},
		"combining accent":            {"e\u0301e\u0301e\u0301", 3, "e\u0301"},
		"composite emoji":             {"👨‍👩‍👧👨‍👩‍👧", 7, "👨‍👩‍👧"},
		"emoji with skin tone":        {"👍🏽👍🏽", 3, "👍🏽"},
		"flags":                       {"🇳🇿🇳🇿🇳🇿", 5, "🇳🇿🇳🇿"},
		"flags after a letter":        {"A🇳🇿🇳🇿🇳🇿", 4, "A🇳🇿"},
		"emoji longer than the limit": {"👨‍👩‍👧", 1, "👨"},
		"characters, not bytes":       {"äöü äöü äöü", 8, "äöü äöü"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ooo.Shorten(tt.text, tt.limit); got != tt.want {
				t.Errorf("Shorten(%q, %d) = %q, want %q", tt.text, tt.limit, got, tt.want)
			}
		})
	}
}
