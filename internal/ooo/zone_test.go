package ooo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/ooo"
)

// TestZoneKnowsEveryWindowsZone compares the zones with the offsets that Windows displays.
func TestZoneKnowsEveryWindowsZone(t *testing.T) {
	displayed := filetest.Read(t, "testdata/windowsoffsets.tsv")
	for row := range strings.Lines(displayed) {
		name, offset, _ := strings.Cut(strings.TrimSpace(row), "\t")
		for _, spelled := range []string{name, strings.ToUpper(name), " " + name + " "} {
			zone, err := ooo.Zone(spelled)
			if err != nil {
				t.Errorf("Zone(%q): %v", spelled, err)
				continue
			}
			january := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC).In(zone).Format("-07:00")
			july := time.Date(2026, 7, 15, 12, 0, 0, 0, time.UTC).In(zone).Format("-07:00")
			if january != offset && july != offset {
				t.Errorf("Zone(%q) has the offsets %s in January and %s in July, want %s in one of them", spelled, january, july, offset)
			}
		}
	}
	if rows, want := strings.Count(filetest.Read(t, "windowszones.tsv"), "\t"), strings.Count(displayed, "\n"); rows != want {
		t.Errorf("the table has %d rows, want %d", rows, want)
	}
}

func TestZoneRejectsUnknownNames(t *testing.T) {
	for name, zone := range map[string]string{
		"empty":                "",
		"zone of the machine":  "Local",
		"unknown name":         "Middle Earth Standard Time",
		"absolute path":        "/etc/localtime",
		"NUL":                  "Europe/Berlin\x00",
		"comment of the table": "# Windows time zone names and the IANA zone each stands for, from Unicode CLDR",
		"outside the folder":   "../x",
		"folder":               "America",
		"long name":            strings.Repeat("Europe/", 10_000),
	} {
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
