package doctor_test

import (
	"strings"
	"testing"

	"outlook-monitor/internal/doctor"
)

func TestPrinter(t *testing.T) {
	report := doctor.Report{Checks: []doctor.Result{
		{Name: "settings", Status: doctor.OK, Found: "no mistakes"},
		{Name: "login", Status: doctor.Failed, Found: "the client secret has expired", Remedy: "create one, set AZURE_CLIENT_SECRET and restart"},
		{Name: "Redis persistence", Status: doctor.Skipped, Found: "because Redis failed"},
	}}
	const plain = `  ok       settings           no mistakes
  failed   login              the client secret has expired
           → create one, set AZURE_CLIENT_SECRET and restart
  skipped  Redis persistence  because Redis failed

1 failed, 1 ok, 1 skipped
`
	print := func(p doctor.Printer) string {
		var out strings.Builder
		p.Out = &out
		for _, r := range report.Checks {
			if err := p.Result(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Summary(report); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := print(doctor.Printer{}); got != plain {
		t.Errorf("text =\n%s\nwant\n%s", got, plain)
	}
	if got := print(doctor.Printer{Colour: true}); !strings.Contains(got, "\x1b[32mok\x1b[0m       settings") || !strings.Contains(got, "\x1b[1;31m1 failed, 1 ok, 1 skipped\x1b[0m") {
		t.Errorf("with colours = %q, want green and red", got)
	}
}
