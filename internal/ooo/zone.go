package ooo

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the container has no zone files
)

//go:embed windowszones.tsv
var windowsZonesTSV string

// windowsZones maps lower-cased Windows zone names to IANA ones.
var windowsZones = sync.OnceValue(func() map[string]string {
	zones := make(map[string]string, 160)
	for line := range strings.Lines(windowsZonesTSV) {
		windows, iana, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok { // neither a comment nor empty
			zones[strings.ToLower(windows)] = iana
		}
	}
	return zones
})

// Zone returns the time zone with the given IANA or Windows name; the latter in any letter
// case. It returns [ErrBadSetting] if the name is unknown.
func Zone(name string) (*time.Location, error) {
	name = strings.TrimSpace(name)
	if iana, ok := windowsZones()[strings.ToLower(name)]; ok {
		name = iana
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || strings.EqualFold(name, "local") { // "" would mean UTC, and Local the zone of the machine
		return nil, fmt.Errorf("%w: time zone %.60q", ErrBadSetting, name)
	}
	return zone, nil
}

// instant returns the instant that d stands for. Graph writes no offset, so the zone
// applies, but an offset takes precedence.
func (d *dateTimeZone) instant() (time.Time, error) {
	if d == nil {
		return time.Time{}, fmt.Errorf("%w: scheduled without a date", ErrBadSetting)
	}
	if t, err := time.Parse(time.RFC3339Nano, d.DateTime); err == nil {
		return inRange(t)
	}
	zone, err := Zone(d.TimeZone)
	if err != nil {
		return time.Time{}, err
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, d.DateTime, zone); err == nil {
			return inRange(t)
		}
	}
	return time.Time{}, fmt.Errorf("%w: date %.40q", ErrBadSetting, d.DateTime)
}

// inRange returns t in UTC. Its year must be from 1601, when Windows time begins, to 9999,
// the last year that JSON can encode.
func inRange(t time.Time) (time.Time, error) {
	t = t.UTC() // first: the conversion may change the year
	if t.Year() < 1601 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("%w: year %d", ErrBadSetting, t.Year())
	}
	return t, nil
}
