package ooo_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// body is an automaticRepliesSetting as Graph sends it, with the given start and
// end (JSON, null for none).
func body(status, start, end string) string {
	return `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata","status":"` + status + `","externalAudience":"all",` +
		`"internalReplyMessage":"<p>in</p>","externalReplyMessage":"<p>out</p>",` +
		`"scheduledStartDateTime":` + start + `,"scheduledEndDateTime":` + end + `}`
}

// at is a dateTimeTimeZone.
func at(dateTime, zone string) string {
	return `{"dateTime":"` + dateTime + `","timeZone":"` + zone + `"}`
}

// read parses a setting that must be understood.
func read(t *testing.T, body string) ooo.Setting {
	t.Helper()
	s, err := ooo.ParseSetting([]byte(body))
	if err != nil {
		t.Fatalf("ParseSetting(%s): %v", body, err)
	}
	return s
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	i, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestParseSettingReadsStatusAndAudienceInAnyLetterCase(t *testing.T) {
	tests := map[string]struct {
		status   string
		want     ooo.Status
		audience string
		known    string
	}{
		"as documented":                  {"disabled", ooo.Disabled, "none", "none"},
		"with a capital":                 {"Disabled", ooo.Disabled, "ContactsOnly", "contactsOnly"},
		"in capitals":                    {"DISABLED", ooo.Disabled, "ALL", "all"},
		"always enabled as documented":   {"alwaysEnabled", ooo.AlwaysEnabled, "contactsOnly", "contactsOnly"},
		"always enabled with a capital":  {"AlwaysEnabled", ooo.AlwaysEnabled, "all", "all"},
		"always enabled in small":        {"alwaysenabled", ooo.AlwaysEnabled, "none", "none"},
		"scheduled as documented":        {"scheduled", ooo.Scheduled, "all", "all"},
		"scheduled with a capital":       {"Scheduled", ooo.Scheduled, "all", "all"},
		"a new audience is kept":         {"disabled", ooo.Disabled, "partnersOnly", "partnersOnly"},
		"an audience may be missing too": {"disabled", ooo.Disabled, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			day := at("2026-04-17T16:00:00.0000000", "UTC")
			s := read(t, strings.Replace(body(tt.status, day, day), `"all"`, `"`+tt.audience+`"`, 1))
			if s.Status != tt.want || s.ExternalAudience != tt.known || s.ExternalReply != "<p>out</p>" || s.InternalReply != "<p>in</p>" {
				t.Errorf("ParseSetting = %+v, want status %s, audience %q and both texts", s, tt.want, tt.known)
			}
		})
	}
}

func TestParseSettingRefusesWhatItDoesNotUnderstand(t *testing.T) {
	day := at("2026-04-17T16:00:00.0000000", "UTC")
	tests := map[string]string{
		"an unknown status":                       body("paused", day, day),
		"an empty status":                         body("", day, day),
		"a status with a space":                   body(" disabled", day, day),
		"no status":                               `{"externalAudience":"all"}`,
		"null":                                    `null`,
		"a list":                                  `[]`,
		"a status that is a number":               `{"status":1}`,
		"nothing":                                 ``,
		"a body that was cut off":                 `{"status":"disabled"`,
		"scheduled without a start":               body("scheduled", "null", day),
		"scheduled without an end":                body("scheduled", day, "null"),
		"scheduled in a zone nobody knows":        body("scheduled", at("2026-04-17T16:00:00", "Middle Earth Standard Time"), day),
		"scheduled without a zone":                body("scheduled", day, at("2026-04-17T16:00:00", "")),
		"scheduled in this machine's zone":        body("scheduled", at("2026-04-17T16:00:00", "Local"), day),
		"scheduled on a day that does not exist":  body("scheduled", at("2026-02-30T16:00:00", "UTC"), day),
		"scheduled at no date":                    body("scheduled", at("", "UTC"), day),
		"scheduled at an hour too many":           body("scheduled", at("2026-02-20T24:00:00", "UTC"), day),
		"scheduled in the year nil":               body("scheduled", at("0001-01-01T00:00:00", "UTC"), day),
		"scheduled in a year that is UTC's 10000": body("scheduled", day, at("9999-12-31T23:00:00", "Dateline Standard Time")),
		"the same, written with an offset":        body("scheduled", day, at("9999-12-31T23:00:00-12:00", "UTC")),
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := ooo.ParseSetting([]byte(tt))
			if !errors.Is(err, ooo.ErrBadSetting) || s != (ooo.Setting{}) {
				t.Errorf("ParseSetting = %+v, %v, want nothing and ErrBadSetting", s, err)
			}
		})
	}
}

func TestParseSettingErrorsAreBoundedAndSayNothingOfTheTexts(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, text := range map[string]string{
		"a long status": body(long, "null", "null"),
		"a long date":   body("scheduled", at(long, "UTC"), "null"),
		"a long zone":   body("scheduled", at("2026-04-17T16:00:00", long), "null"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ooo.ParseSetting([]byte(text))
			if err == nil {
				t.Fatal("ParseSetting = nil, want an error")
			}
			if got := err.Error(); len(got) > 250 || strings.Contains(got, "<p>") {
				t.Errorf("ParseSetting's error has %d bytes (%.300s), want a short one without reply texts", len(got), got)
			}
		})
	}
}

func TestParseSettingReadsWindows(t *testing.T) {
	tests := map[string]struct{ date, zone, want string }{
		"UTC as Graph writes it":                   {"2019-04-17T16:00:00.0000000", "UTC", "2019-04-17T16:00:00Z"},
		"UTC in small letters":                     {"2019-04-17T16:00:00.0000000", "utc", "2019-04-17T16:00:00Z"},
		"a Windows name in summer":                 {"2026-07-01T09:00:00.0000000", "Pacific Standard Time", "2026-07-01T16:00:00Z"},
		"a Windows name in winter":                 {"2026-01-15T09:00:00.0000000", "Pacific Standard Time", "2026-01-15T17:00:00Z"},
		"a Windows name in another letter case":    {"2026-01-15T09:00:00.0000000", "pacific standard TIME", "2026-01-15T17:00:00Z"},
		"an IANA name in summer":                   {"2026-07-01T09:00:00.0000000", "Europe/Berlin", "2026-07-01T07:00:00Z"},
		"an IANA name in winter":                   {"2026-01-15T09:00:00.0000000", "Europe/Berlin", "2026-01-15T08:00:00Z"},
		"half an hour off":                         {"2026-01-15T09:00:00.0000000", "India Standard Time", "2026-01-15T03:30:00Z"},
		"three quarters of an hour off":            {"2026-01-15T09:00:00.0000000", "Nepal Standard Time", "2026-01-15T03:15:00Z"},
		"across the date line":                     {"2026-01-15T09:00:00.0000000", "Line Islands Standard Time", "2026-01-14T19:00:00Z"},
		"a name with spaces around it":             {"2026-07-01T09:00:00.0000000", " Europe/Berlin ", "2026-07-01T07:00:00Z"},
		"without a fraction":                       {"2026-07-01T09:00:00", "UTC", "2026-07-01T09:00:00Z"},
		"without seconds":                          {"2026-07-01T09:00", "UTC", "2026-07-01T09:00:00Z"},
		"with a fraction that counts":              {"2026-07-01T09:00:00.1230000", "UTC", "2026-07-01T09:00:00.123Z"},
		"a Z counts, whatever the zone":            {"2026-07-01T09:00:00.0000000Z", "Pacific Standard Time", "2026-07-01T09:00:00Z"},
		"an offset counts, whatever the zone":      {"2026-07-01T09:00:00+02:00", "UTC", "2026-07-01T07:00:00Z"},
		"an offset needs no zone":                  {"2026-07-01T09:00:00+02:00", "", "2026-07-01T07:00:00Z"},
		"the second before clocks go forward":      {"2026-03-29T01:59:59", "W. Europe Standard Time", "2026-03-29T00:59:59Z"},
		"the hour after clocks went forward":       {"2026-03-29T03:00:00", "W. Europe Standard Time", "2026-03-29T01:00:00Z"},
		"the second before clocks go back":         {"2026-10-25T01:59:59", "W. Europe Standard Time", "2026-10-24T23:59:59Z"},
		"the hour after clocks went back":          {"2026-10-25T03:00:00", "W. Europe Standard Time", "2026-10-25T02:00:00Z"},
		"clocks go forward in the south":           {"2026-10-04T03:00:00", "AUS Eastern Standard Time", "2026-10-03T16:00:00Z"},
		"the last second that JSON has":            {"9999-12-31T23:59:59", "UTC", "9999-12-31T23:59:59Z"},
		"a day of the year 1601":                   {"1601-01-01T00:00:00", "UTC", "1601-01-01T00:00:00Z"},
		"half an hour of summer time on Lord Howe": {"2026-01-15T09:00:00", "Lord Howe Standard Time", "2026-01-14T22:00:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := read(t, body("scheduled", at(tt.date, tt.zone), at(tt.date, tt.zone)))
			want := instant(t, tt.want)
			if !s.Start.Equal(want) || !s.End.Equal(want) || s.Start.Location() != time.UTC || s.End.Location() != time.UTC {
				t.Errorf("ParseSetting of %s in %q = %v to %v, want %v in UTC", tt.date, tt.zone, s.Start, s.End, want)
			}
		})
	}
}

// A wall clock time that happens twice, or never, must be one of the two
// instants that it could name: an hour off, not a day, and never an error.
func TestParseSettingReadsTimesThatClockChangesMakeUncertain(t *testing.T) {
	tests := map[string]struct{ date, zone, one, other string }{
		"an hour that is left out": {"2026-03-29T02:30:00", "W. Europe Standard Time", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
		"an hour that comes twice": {"2026-10-25T02:30:00", "W. Europe Standard Time", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		"left out in New York":     {"2026-03-08T02:30:00", "America/New_York", "2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := read(t, body("scheduled", at(tt.date, tt.zone), at(tt.date, tt.zone)))
			if !s.Start.Equal(instant(t, tt.one)) && !s.Start.Equal(instant(t, tt.other)) {
				t.Errorf("ParseSetting of %s = %v, want %s or %s", tt.date, s.Start, tt.one, tt.other)
			}
			if !s.Start.Equal(s.End) {
				t.Errorf("the same text names %v and %v, want one instant", s.Start, s.End)
			}
		})
	}
}

func TestSettingsAreEqualThatSayTheSame(t *testing.T) {
	utc := func(hour string) string { return at("2026-04-17T"+hour+":00:00.0000000", "UTC") }
	scheduled := body("scheduled", utc("16"), utc("18"))
	tests := map[string]struct {
		one, other string
		same       bool
	}{
		"the same text":                              {scheduled, scheduled, true},
		"placeholders that slid while disabled":      {body("disabled", utc("16"), utc("17")), body("disabled", utc("17"), utc("18")), true},
		"placeholders that slid while enabled":       {body("alwaysEnabled", utc("16"), utc("17")), body("alwaysEnabled", utc("17"), utc("18")), true},
		"placeholders that can't be read":            {body("disabled", utc("16"), utc("17")), body("disabled", at("soon", "Nowhere"), "null"), true},
		"another letter case of the status":          {scheduled, body("Scheduled", utc("16"), utc("18")), true},
		"another letter case of the audience":        {`{"status":"disabled","externalAudience":"contactsOnly"}`, `{"status":"disabled","externalAudience":"ContactsOnly"}`, true},
		"another spelling of the same instants":      {scheduled, body("scheduled", at("2026-04-17T09:00:00", "Pacific Standard Time"), at("2026-04-17T20:00:00+02:00", "")), true},
		"another order of the fields":                {`{"status":"disabled","externalReplyMessage":"x"}`, `{"externalReplyMessage":"x","status":"disabled"}`, true},
		"another status":                             {body("disabled", "null", "null"), body("alwaysEnabled", "null", "null"), false},
		"another start":                              {scheduled, body("scheduled", utc("15"), utc("18")), false},
		"another end":                                {scheduled, body("scheduled", utc("16"), utc("19")), false},
		"start and end changed places":               {scheduled, body("scheduled", utc("18"), utc("16")), false},
		"a start that differs by a fraction":         {scheduled, body("scheduled", at("2026-04-17T16:00:00.0010000", "UTC"), utc("18")), false},
		"another internal text":                      {`{"status":"disabled","internalReplyMessage":"a"}`, `{"status":"disabled","internalReplyMessage":"b"}`, false},
		"another external text":                      {`{"status":"disabled","externalReplyMessage":"a"}`, `{"status":"disabled","externalReplyMessage":"b"}`, false},
		"the text moved from one reply to the other": {`{"status":"disabled","externalReplyMessage":"a"}`, `{"status":"disabled","internalReplyMessage":"a"}`, false},
		"the border between the texts moved":         {`{"status":"disabled","internalReplyMessage":"ab","externalReplyMessage":"c"}`, `{"status":"disabled","internalReplyMessage":"a","externalReplyMessage":"bc"}`, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			one, other := read(t, tt.one), read(t, tt.other)
			if one.Equal(other) != tt.same || other.Equal(one) != tt.same {
				t.Errorf("Equal of %+v and %+v = %t, want %t", one, other, one.Equal(other), tt.same)
			}
		})
	}
}

func FuzzParseSetting(f *testing.F) {
	for _, seed := range []string{
		body("disabled", at("2026-04-17T16:00:00.0000000", "UTC"), at("2026-04-17T17:00:00.0000000", "UTC")),
		body("Scheduled", at("2026-04-17T16:00:00.0000000", "Pacific Standard Time"), at("2026-04-18T16:00:00", "Europe/Berlin")),
		body("scheduled", at("9999-12-31T23:00:00-12:00", ""), at("1601-01-01T00:00:00+14:00", "")),
		body("disabled", "null", "null"), body("scheduled", at("1601-01-01T00:00:00", "UTC"), at("9999-12-31T23:59:59", "UTC")),
		body("alwaysEnabled", "null", "null"), `{"STATUS":"disabled"}`, `null`, `[]`, `{"status":"scheduled"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ooo.ParseSetting(text)
		if err != nil {
			if !errors.Is(err, ooo.ErrBadSetting) || s != (ooo.Setting{}) {
				t.Errorf("ParseSetting(%q) = %+v, %v, want nothing and ErrBadSetting", text, s, err)
			}
			return
		}
		if s.Status != ooo.Scheduled && (!s.Start.IsZero() || !s.End.IsZero()) {
			t.Errorf("ParseSetting(%q) = %+v, want no dates", text, s)
		}
		stored, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("Marshal of %+v: %v", s, err)
		}
		var back ooo.Setting
		if err := json.Unmarshal(stored, &back); err != nil || !back.Equal(s) {
			t.Errorf("ParseSetting(%q) stored and read again = %+v, %v, want %+v", text, back, err, s)
		}
	})
}
