package doctor_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/doctor"
)

// TestColours checks the colours only. The tests of the program check the text.
func TestColours(t *testing.T) {
	report := doctor.Report{Checks: []doctor.Result{
		{Name: "settings", Status: doctor.OK, Found: "no mistakes"},
		{Name: "Redis", Status: doctor.Failed, Found: "refuses the connection", Remedy: "start Redis"},
	}}
	var out strings.Builder
	p := doctor.Printer{Out: &out, Colour: true}
	for _, r := range report.Checks {
		if err := p.Result(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Summary(report); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[32mok\x1b[0m       settings", "\x1b[1;31m1 failed, 1 ok\x1b[0m"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("text = %q, want %q in it", &out, want)
		}
	}
}
