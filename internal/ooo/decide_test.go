package ooo_test

import (
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

var (
	opens  = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	closes = opens.Add(8 * time.Hour)
	never  time.Time
)

// reply is a setting with both texts.
func reply(status ooo.Status) ooo.Setting {
	return ooo.Setting{Status: status, InternalReply: "<p>To colleagues</p>", ExternalReply: "<p>To others</p>"}
}

// window is a scheduled setting.
func window(start, end time.Time) ooo.Setting {
	s := reply(ooo.Scheduled)
	s.Start, s.End = start, end
	return s
}

func TestDecideWhoIsAwayAndUntilWhen(t *testing.T) {
	berlin, err := ooo.Zone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	always := ooo.Policy{Scheduled: ooo.ScheduledAlways}
	byClock := ooo.Policy{Scheduled: ooo.ScheduledWindow}
	tests := map[string]struct {
		policy  ooo.Policy
		setting ooo.Setting
		now     time.Time
		away    bool
		edge    time.Time
	}{
		"disabled is not away":                       {byClock, reply(ooo.Disabled), opens, false, never},
		"always enabled is away":                     {byClock, reply(ooo.AlwaysEnabled), opens, true, never},
		"no status at all is not away":               {byClock, ooo.Setting{}, opens, false, never},
		"long before the window":                     {byClock, window(opens, closes), opens.AddDate(-1, 0, 0), false, opens},
		"a nanosecond before the start":              {byClock, window(opens, closes), opens.Add(-1), false, opens},
		"at the start":                               {byClock, window(opens, closes), opens, true, closes},
		"in the window":                              {byClock, window(opens, closes), opens.Add(time.Hour), true, closes},
		"a nanosecond before the end":                {byClock, window(opens, closes), closes.Add(-1), true, closes},
		"at the end":                                 {byClock, window(opens, closes), closes, false, never},
		"long after the window":                      {byClock, window(opens, closes), closes.AddDate(1, 0, 0), false, never},
		"now in another zone, at the start":          {byClock, window(opens, closes), opens.In(berlin), true, closes},
		"now in another zone, at the end":            {byClock, window(opens, closes), closes.In(berlin), false, never},
		"a window that is empty":                     {byClock, window(opens, opens), opens, false, never},
		"before a window that is empty":              {byClock, window(opens, opens), opens.Add(-time.Hour), false, never},
		"an end before the start, now before both":   {byClock, window(closes, opens), opens.Add(-time.Hour), false, never},
		"an end before the start, now between them":  {byClock, window(closes, opens), opens.Add(time.Hour), false, never},
		"an end before the start, now after both":    {byClock, window(closes, opens), closes.Add(time.Hour), false, never},
		"the zero policy goes by the clock, before":  {ooo.Policy{}, window(opens, closes), opens.Add(-1), false, opens},
		"the zero policy goes by the clock, within":  {ooo.Policy{}, window(opens, closes), opens, true, closes},
		"always: before the window":                  {always, window(opens, closes), opens.Add(-time.Hour), true, never},
		"always: in the window":                      {always, window(opens, closes), opens, true, never},
		"always: after the window":                   {always, window(opens, closes), closes, true, never},
		"always: an end before the start":            {always, window(closes, opens), opens, true, never},
		"always: disabled is still not away":         {always, reply(ooo.Disabled), opens, false, never},
		"always: always enabled is as it always was": {always, reply(ooo.AlwaysEnabled), opens, true, never},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := tt.policy.Decide(nil, tt.policy.Apply(tt.setting), tt.now)
			if d.State.Away != tt.away || !d.Edge.Equal(tt.edge) {
				t.Errorf("Decide = away %t until %v, want %t until %v", d.State.Away, d.Edge, tt.away, tt.edge)
			}
			if !d.Changed {
				t.Error("Decide with no state before = unchanged, want a change")
			}
		})
	}
}

func TestApplyPicksTheTextThatIsSpoken(t *testing.T) {
	const mute = "<p> <br/>&nbsp;<style>p{}</style></p>"
	tests := map[string]struct {
		policy             ooo.Policy
		internal, external string
		want               string
	}{
		"external":                          {ooo.Policy{Message: ooo.ExternalMessage}, "<p>In</p>", "<p>Out</p>", "Out"},
		"internal":                          {ooo.Policy{Message: ooo.InternalMessage}, "<p>In</p>", "<p>Out</p>", "In"},
		"default":                           {ooo.Policy{}, "<p>In</p>", "<p>Out</p>", "Out"},
		"no external one: the internal":     {ooo.Policy{}, "<p>In</p>", "", "In"},
		"a mute external one: the internal": {ooo.Policy{}, "<p>In</p>", mute, "In"},
		"a mute internal one: the external": {ooo.Policy{Message: ooo.InternalMessage}, mute, "<p>Out</p>", "Out"},
		"none":                              {ooo.Policy{}, mute, "", ""},
		"a limit":                           {ooo.Policy{Limit: 12}, "", "<p>One two.</p><p>Three four.</p>", "One two."},
		"a limit of the fallback":           {ooo.Policy{Limit: 8}, "<p>One two three</p>", "", "One two"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			setting := ooo.Setting{Status: ooo.AlwaysEnabled, InternalReply: tt.internal, ExternalReply: tt.external}
			got := tt.policy.Apply(setting)
			if want := (ooo.Setting{Status: ooo.AlwaysEnabled, Message: tt.want}); got != want {
				t.Errorf("Apply = %+v, want %+v", got, want)
			}
			if d := tt.policy.Decide(nil, got, opens); d.State.Message != tt.want {
				t.Errorf("Decide = %+v, want the message %q", d.State, tt.want)
			}
		})
	}
}

func TestPolicyTagsTellPoliciesApart(t *testing.T) {
	tags := map[string]ooo.Policy{}
	for _, p := range []ooo.Policy{
		{}, {Scheduled: ooo.ScheduledAlways}, {Message: ooo.InternalMessage}, {Limit: 1}, {Limit: 11},
	} {
		if twin, ok := tags[p.Tag()]; ok {
			t.Errorf("Tags of %+v and %+v are the same, want different ones", p, twin)
		}
		tags[p.Tag()] = p
	}
	if zero, defaults := (ooo.Policy{}).Tag(), (ooo.Policy{Scheduled: ooo.ScheduledWindow, Message: ooo.ExternalMessage}).Tag(); zero != defaults {
		t.Errorf("Tags of the defaults = %q and %q, want the same however they are written", zero, defaults)
	}
}

func TestShorten(t *testing.T) {
	tests := map[string]struct {
		text  string
		limit int
		want  string
	}{
		"no limit":                               {"One. Two.", 0, "One. Two."},
		"short enough":                           {"One. Two.", 9, "One. Two."},
		"at the end of a sentence":               {"One two. Three four.", 14, "One two."},
		"the sentence ends at the limit":         {"One two. Three", 8, "One two."},
		"the last sentence that fits":            {"A b. C d. E f g.", 12, "A b. C d."},
		"a question":                             {"Who? Nobody knows it", 7, "Who?"},
		"a Chinese full stop":                    {"我不在。 请稍后再打来", 6, "我不在。"},
		"a sentence that ends too early":         {"No. One two three four five", 20, "No. One two three"},
		"at the end of a word":                   {"One two three four", 10, "One two"},
		"the word ends at the limit":             {"One two three", 7, "One two"},
		"a dot within a word ends no sentence":   {"See example.com today please", 20, "See example.com"},
		"one long word":                          {"Donaudampfschiff", 5, "Donau"},
		"a Chinese full stop without a space":    {"我不在。请稍后再打来", 6, "我不在。"},
		"a question in Arabic":                   {"هل الأمر عاجل؟ راسلونا غدا", 18, "هل الأمر عاجل؟"},
		"no space in half of it":                 {"An 0123456789012345", 10, "An 0123456"},
		"a letter with its accent":               {"e\u0301e\u0301e\u0301", 3, "e\u0301"},
		"an emoji of several characters":         {"👨‍👩‍👧👨‍👩‍👧", 7, "👨‍👩‍👧"},
		"an emoji with its skin tone":            {"👍🏽👍🏽", 3, "👍🏽"},
		"flags":                                  {"🇳🇿🇳🇿🇳🇿", 5, "🇳🇿🇳🇿"},
		"an emoji longer than the limit":         {"👨‍👩‍👧", 2, "👨"},
		"characters are counted, and not bytes":  {"äöü äöü äöü", 8, "äöü äöü"},
		"characters that are two words in UTF16": {"😀😀 😀😀", 4, "😀😀"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ooo.Shorten(tt.text, tt.limit); got != tt.want {
				t.Errorf("Shorten(%q, %d) = %q, want %q", tt.text, tt.limit, got, tt.want)
			}
		})
	}
}

func TestDecideWhatIsAChange(t *testing.T) {
	away, back := ooo.State{Away: true, Message: "To others"}, ooo.State{Message: "To others"}
	slid := reply(ooo.Disabled)
	slid.Start, slid.End = opens, closes
	retold := reply(ooo.AlwaysEnabled)
	retold.ExternalReply = "<div>To  others\n</div>"
	inside := reply(ooo.AlwaysEnabled)
	inside.InternalReply = "<p>New to colleagues</p>"
	reworded := func(s ooo.Setting) ooo.Setting {
		s.ExternalReply = "<p>New text</p>"
		return s
	}
	audience := reply(ooo.AlwaysEnabled)
	audience.ExternalAudience = "none"
	tests := map[string]struct {
		before  ooo.State
		setting ooo.Setting
		now     time.Time
		changed bool
		want    ooo.State
	}{
		"nothing moved while away":              {away, reply(ooo.AlwaysEnabled), opens, false, away},
		"nothing moved while back":              {back, reply(ooo.Disabled), opens, false, back},
		"switched on":                           {back, reply(ooo.AlwaysEnabled), opens, true, away},
		"switched off":                          {away, reply(ooo.Disabled), opens, true, back},
		"a new text while away":                 {away, reworded(reply(ooo.AlwaysEnabled)), opens, true, ooo.State{Away: true, Message: "New text"}},
		"a new text while disabled":             {back, reworded(reply(ooo.Disabled)), opens, false, back},
		"a new text before the window":          {back, reworded(window(opens, closes)), opens.Add(-1), false, back},
		"a new text in the window":              {away, reworded(window(opens, closes)), opens, true, ooo.State{Away: true, Message: "New text"}},
		"a new text with switching on":          {back, reworded(reply(ooo.AlwaysEnabled)), opens, true, ooo.State{Away: true, Message: "New text"}},
		"a new text with switching off":         {away, reworded(reply(ooo.Disabled)), opens, true, ooo.State{Message: "New text"}},
		"other markup, the same words":          {away, retold, opens, false, away},
		"a new text of the other reply":         {away, inside, opens, false, away},
		"another audience":                      {away, audience, opens, false, away},
		"placeholder dates that slid":           {back, slid, opens, false, back},
		"scheduled instead of always, within":   {away, window(opens, closes), opens, false, away},
		"scheduled instead of disabled, before": {back, window(opens, closes), opens.Add(-1), false, back},
		"the window opens":                      {back, window(opens, closes), opens, true, away},
		"the window closes":                     {away, window(opens, closes), closes, true, back},
		"the window was moved away from now":    {away, window(closes, closes.Add(time.Hour)), opens, true, back},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := tt.before
			d := ooo.Policy{}.Decide(&before, ooo.Policy{}.Apply(tt.setting), tt.now)
			if d.Changed != tt.changed || d.State != tt.want {
				t.Errorf("Decide = %+v, changed %t, want %+v, changed %t", d.State, d.Changed, tt.want, tt.changed)
			}
			if before != tt.before {
				t.Errorf("the state before became %+v, want it left as %+v", before, tt.before)
			}
		})
	}
}

// Whoever sleeps from edge to edge must see every change that the clock makes.
func TestDecideEdgesLeadThroughTheWindow(t *testing.T) {
	policy := ooo.Policy{}
	var told []bool
	var state *ooo.State
	now := opens.Add(-time.Hour)
	for range 5 {
		d := policy.Decide(state, window(opens, closes), now)
		if d.Changed {
			told = append(told, d.State.Away)
		}
		if d.Edge.IsZero() {
			break
		}
		if !d.Edge.After(now) {
			t.Fatalf("Edge at %v = %v, want one to come", now, d.Edge)
		}
		state, now = &d.State, d.Edge
	}
	if len(told) != 3 || told[0] || !told[1] || told[2] {
		t.Errorf("states told from edge to edge = %v, want [false true false]", told)
	}
}
