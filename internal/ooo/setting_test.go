package ooo_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// body returns an automaticRepliesSetting as Graph sends it, with the given start and end,
// in JSON.
func body(status, start, end string) string {
	return `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata","status":"` + status + `","externalAudience":"all",` +
		`"internalReplyMessage":"<p>in</p>","externalReplyMessage":"<p>out</p>",` +
		`"scheduledStartDateTime":` + start + `,"scheduledEndDateTime":` + end + `}`
}

// at returns a dateTimeTimeZone.
func at(dateTime, zone string) string {
	return `{"dateTime":"` + dateTime + `","timeZone":"` + zone + `"}`
}

// read parses a valid setting.
func read(t *testing.T, body string) ooo.Setting {
	t.Helper()
	s, err := ooo.ParseSetting([]byte(body))
	if err != nil {
		t.Fatalf("ParseSetting(%s): %v", body, err)
	}
	return s
}

func TestParseSettingStatusAndAudience(t *testing.T) {
	for name, tt := range map[string]struct {
		status       string
		want         ooo.Status
		audience     string
		wantAudience string
	}{
		"disabled":          {"disabled", ooo.Disabled, "none", "none"},
		"other letter case": {"Disabled", ooo.Disabled, "ContactsOnly", "contactsOnly"},
		"always enabled":    {"alwaysenabled", ooo.AlwaysEnabled, "none", "none"},
		"scheduled":         {"scheduled", ooo.Scheduled, "all", "all"},
		"unknown audience":  {"disabled", ooo.Disabled, "partnersOnly", "partnersOnly"},
	} {
		t.Run(name, func(t *testing.T) {
			day := at("2026-04-17T16:00:00.0000000", "UTC")
			s := read(t, strings.Replace(body(tt.status, day, day), `"all"`, `"`+tt.audience+`"`, 1))
			if s.Status != tt.want || s.ExternalAudience != tt.wantAudience || s.ExternalReply != "<p>out</p>" || s.InternalReply != "<p>in</p>" {
				t.Errorf("ParseSetting = %+v, want status %s, audience %q and both texts", s, tt.want, tt.wantAudience)
			}
		})
	}
}

func TestParseSettingRejectsInvalidSettings(t *testing.T) {
	day, long := at("2026-04-17T16:00:00.0000000", "UTC"), strings.Repeat("x", 10_000)
	for name, tt := range map[string]string{
		"long status":                       body(long, day, day),
		"long date":                         body("scheduled", at(long, "UTC"), day),
		"long zone":                         body("scheduled", at("2026-04-17T16:00:00", long), day),
		"unknown status":                    body("paused", day, day),
		"null":                              `null`,
		"array":                             `[]`,
		"truncated body":                    `{"status":"disabled"`,
		"no start":                          body("scheduled", "null", day),
		"no end":                            body("scheduled", day, "null"),
		"unknown zone":                      body("scheduled", at("2026-04-17T16:00:00", "Middle Earth Standard Time"), day),
		"invalid day":                       body("scheduled", at("2026-02-30T16:00:00", "UTC"), day),
		"year 1":                            body("scheduled", at("0001-01-01T00:00:00", "UTC"), day),
		"year 10000 in UTC":                 body("scheduled", day, at("9999-12-31T23:00:00", "Dateline Standard Time")),
		"year 10000 in UTC, with an offset": body("scheduled", day, at("9999-12-31T23:00:00-12:00", "UTC")),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ooo.ParseSetting([]byte(tt))
			if !errors.Is(err, ooo.ErrBadSetting) || s != (ooo.Setting{}) {
				t.Fatalf("ParseSetting = %+v, %v, want an empty setting and ErrBadSetting", s, err)
			}
			if got := err.Error(); len(got) > 250 || strings.Contains(got, "<p>") {
				t.Errorf("error with %d bytes = %.300s, want a short one without reply texts", len(got), got)
			}
		})
	}
}

func TestParseSettingDates(t *testing.T) {
	for name, tt := range map[string]struct {
		date, zone, want string
	}{
		"UTC":                              {"2019-04-17T16:00:00.0000000", "UTC", "2019-04-17T16:00:00Z"},
		"Windows name in summer":           {"2026-07-01T09:00:00.0000000", "Pacific Standard Time", "2026-07-01T16:00:00Z"},
		"Windows name in winter":           {"2026-01-15T09:00:00.0000000", "Pacific Standard Time", "2026-01-15T17:00:00Z"},
		"IANA name":                        {"2026-07-01T09:00:00.0000000", "Europe/Berlin", "2026-07-01T07:00:00Z"},
		"across the date line":             {"2026-01-15T09:00:00.0000000", "Line Islands Standard Time", "2026-01-14T19:00:00Z"},
		"without a fraction":               {"2026-07-01T09:00:00", "UTC", "2026-07-01T09:00:00Z"},
		"without seconds":                  {"2026-07-01T09:00", "UTC", "2026-07-01T09:00:00Z"},
		"fraction of a second":             {"2026-07-01T09:00:00.1230000", "UTC", "2026-07-01T09:00:00.123Z"},
		"Z overrides the zone":             {"2026-07-01T09:00:00.0000000Z", "Pacific Standard Time", "2026-07-01T09:00:00Z"},
		"offset overrides the zone":        {"2026-07-01T09:00:00+02:00", "UTC", "2026-07-01T07:00:00Z"},
		"last second that JSON can encode": {"9999-12-31T23:59:59", "UTC", "9999-12-31T23:59:59Z"},
		"first year":                       {"1601-01-01T00:00:00", "UTC", "1601-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			s := read(t, body("scheduled", at(tt.date, tt.zone), at(tt.date, tt.zone)))
			if s.Start.Format(time.RFC3339Nano) != tt.want || s.End.Format(time.RFC3339Nano) != tt.want {
				t.Errorf("ParseSetting of %s in %q = %v to %v, want %s", tt.date, tt.zone, s.Start, s.End, tt.want)
			}
		})
	}
}

func TestSettingEqual(t *testing.T) {
	utc := func(hour string) string { return at("2026-04-17T"+hour+":00:00.0000000", "UTC") }
	scheduled := body("scheduled", utc("16"), utc("18"))
	for name, tt := range map[string]struct {
		one, other string
		same       bool
	}{
		"invalid placeholder dates":        {body("disabled", utc("16"), utc("17")), body("disabled", at("soon", "Nowhere"), "null"), true},
		"same instants in other zones":     {scheduled, body("scheduled", at("2026-04-17T09:00:00", "Pacific Standard Time"), at("2026-04-17T20:00:00+02:00", "")), true},
		"other status":                     {body("disabled", "null", "null"), body("alwaysEnabled", "null", "null"), false},
		"other start":                      {scheduled, body("scheduled", utc("15"), utc("18")), false},
		"other end":                        {scheduled, body("scheduled", utc("16"), utc("19")), false},
		"start that differs by a fraction": {scheduled, body("scheduled", at("2026-04-17T16:00:00.0010000", "UTC"), utc("18")), false},
	} {
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
				t.Errorf("ParseSetting(%q) = %+v, %v, want an empty setting and ErrBadSetting", text, s, err)
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
