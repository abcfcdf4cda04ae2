package telemetry_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"outlook-monitor/internal/telemetry"
)

func TestLogFormats(t *testing.T) {
	const (
		json = `"level":"INFO","msg":"delivered","user":"k","sequence":7}` + "\n"
		text = "level=INFO msg=delivered user=k sequence=7\n"
	)
	for format, want := range map[string]string{"json": json, "text": text, "": json, "xml": json} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, slog.LevelInfo, format)
		log.Debug("below the level")
		log.Info("delivered", "user", "k", "sequence", 7)
		if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, want) {
			t.Errorf("log in format %q = %s, want one line that ends with %s", format, got, want)
		}
	}
}
