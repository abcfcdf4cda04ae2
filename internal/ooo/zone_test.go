package ooo_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// windowsNames are the time zones of Windows, by the offset that Windows displays.
var windowsNames = map[string]string{
	"-12:00": "Dateline Standard Time",
	"-11:00": "UTC-11",
	"-10:00": "Aleutian Standard Time, Hawaiian Standard Time",
	"-09:30": "Marquesas Standard Time",
	"-09:00": "Alaskan Standard Time, UTC-09",
	"-08:00": "Pacific Standard Time (Mexico), UTC-08, Pacific Standard Time",
	"-07:00": "US Mountain Standard Time, Mountain Standard Time (Mexico), Mountain Standard Time, Yukon Standard Time",
	"-06:00": "Central America Standard Time, Central Standard Time, Easter Island Standard Time, Central Standard Time (Mexico), Canada Central Standard Time",
	"-05:00": "SA Pacific Standard Time, Eastern Standard Time (Mexico), Eastern Standard Time, Haiti Standard Time, Cuba Standard Time, US Eastern Standard Time, Turks And Caicos Standard Time",
	"-04:00": "Atlantic Standard Time, Venezuela Standard Time, Central Brazilian Standard Time, SA Western Standard Time, Pacific SA Standard Time",
	"-03:30": "Newfoundland Standard Time",
	"-03:00": "Paraguay Standard Time, Tocantins Standard Time, E. South America Standard Time, SA Eastern Standard Time, Argentina Standard Time, Montevideo Standard Time, Magallanes Standard Time, Saint Pierre Standard Time, Bahia Standard Time",
	"-02:00": "Greenland Standard Time, UTC-02, Mid-Atlantic Standard Time",
	"-01:00": "Azores Standard Time, Cape Verde Standard Time",
	"+00:00": "UTC, GMT Standard Time, Greenwich Standard Time, Sao Tome Standard Time",
	"+01:00": "Morocco Standard Time, W. Europe Standard Time, Central Europe Standard Time, Romance Standard Time, Central European Standard Time, W. Central Africa Standard Time",
	"+02:00": "GTB Standard Time, Middle East Standard Time, Egypt Standard Time, E. Europe Standard Time, West Bank Standard Time, South Africa Standard Time, FLE Standard Time, Israel Standard Time, South Sudan Standard Time, Kaliningrad Standard Time, Sudan Standard Time, Libya Standard Time, Namibia Standard Time",
	"+03:00": "Jordan Standard Time, Arabic Standard Time, Syria Standard Time, Turkey Standard Time, Arab Standard Time, Belarus Standard Time, Russian Standard Time, E. Africa Standard Time, Volgograd Standard Time",
	"+03:30": "Iran Standard Time",
	"+04:00": "Arabian Standard Time, Astrakhan Standard Time, Azerbaijan Standard Time, Russia Time Zone 3, Mauritius Standard Time, Saratov Standard Time, Georgian Standard Time, Caucasus Standard Time",
	"+04:30": "Afghanistan Standard Time",
	"+05:00": "West Asia Standard Time, Ekaterinburg Standard Time, Pakistan Standard Time, Qyzylorda Standard Time",
	"+05:30": "India Standard Time, Sri Lanka Standard Time",
	"+05:45": "Nepal Standard Time",
	"+06:00": "Central Asia Standard Time, Bangladesh Standard Time, Omsk Standard Time",
	"+06:30": "Myanmar Standard Time",
	"+07:00": "SE Asia Standard Time, Altai Standard Time, W. Mongolia Standard Time, North Asia Standard Time, N. Central Asia Standard Time, Tomsk Standard Time",
	"+08:00": "China Standard Time, North Asia East Standard Time, Singapore Standard Time, W. Australia Standard Time, Taipei Standard Time, Ulaanbaatar Standard Time",
	"+08:45": "Aus Central W. Standard Time",
	"+09:00": "Transbaikal Standard Time, Tokyo Standard Time, North Korea Standard Time, Korea Standard Time, Yakutsk Standard Time",
	"+09:30": "Cen. Australia Standard Time, AUS Central Standard Time",
	"+10:00": "E. Australia Standard Time, AUS Eastern Standard Time, West Pacific Standard Time, Tasmania Standard Time, Vladivostok Standard Time",
	"+10:30": "Lord Howe Standard Time",
	"+11:00": "Bougainville Standard Time, Russia Time Zone 10, Magadan Standard Time, Norfolk Standard Time, Sakhalin Standard Time, Central Pacific Standard Time",
	"+12:00": "Russia Time Zone 11, New Zealand Standard Time, UTC+12, Fiji Standard Time, Kamchatka Standard Time",
	"+12:45": "Chatham Islands Standard Time",
	"+13:00": "UTC+13, Tonga Standard Time, Samoa Standard Time",
	"+14:00": "Line Islands Standard Time",
}

func TestZoneKnowsEveryWindowsZone(t *testing.T) {
	found := 0
	for offset, names := range windowsNames {
		for name := range strings.SplitSeq(names, ", ") {
			found++
			for _, spelled := range []string{name, strings.ToUpper(name), " " + name + " "} {
				zone, err := ooo.Zone(spelled)
				if err != nil {
					t.Errorf("Zone(%q): %v", spelled, err)
					continue
				}
				january := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC).In(zone)
				july := time.Date(2026, 7, 15, 12, 0, 0, 0, time.UTC).In(zone)
				if got := []string{january.Format("-07:00"), july.Format("-07:00")}; got[0] != offset && got[1] != offset {
					t.Errorf("Zone(%q) has the offsets %v in January and July, want %s in one of them", spelled, got, offset)
				}
			}
		}
	}
	table, err := os.ReadFile("windowszones.tsv")
	if rows := strings.Count(string(table), "\t"); rows != found || err != nil {
		t.Errorf("the table has %d rows, %v, want %d", rows, err, found)
	}
}

func TestZoneRejectsUnknownNames(t *testing.T) {
	tests := map[string]string{
		"empty":                "",
		"zone of the machine":  "Local",
		"unknown name":         "Middle Earth Standard Time",
		"absolute path":        "/etc/localtime",
		"NUL":                  "Europe/Berlin\x00",
		"comment of the table": "# Windows time zone names and the IANA zone each stands for, from Unicode CLDR",
		"long name":            strings.Repeat("Europe/", 10_000),
	}
	for name, zone := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ooo.Zone(zone)
			if got != nil || !errors.Is(err, ooo.ErrBadSetting) {
				t.Fatalf("Zone(%.60q) = %v, %v, want ErrBadSetting", zone, got, err)
			}
			if len(err.Error()) > 400 {
				t.Errorf("the error has %d bytes, want at most 400", len(err.Error()))
			}
		})
	}
}

func FuzzZone(f *testing.F) {
	for _, seed := range []string{"UTC", "Europe/Berlin", "pacific standard time", "Local", "", "../x", "America", "\xff", "localtime"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		zone, err := ooo.Zone(name)
		switch {
		case err != nil && (zone != nil || !errors.Is(err, ooo.ErrBadSetting)):
			t.Errorf("Zone(%q) = %v, %v, want only ErrBadSetting", name, zone, err)
		case err == nil && (zone == nil || zone == time.Local):
			t.Errorf("Zone(%q) = %v, want a zone that does not depend on the machine", name, zone)
		case err == nil:
			_, offset := time.Date(2026, 1, 15, 0, 0, 0, 0, zone).Zone()
			if offset < -24*3600 || offset > 24*3600 {
				t.Errorf("Zone(%q) is %d s from UTC, want less than a day", name, offset)
			}
		}
	})
}
