package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outlook-monitor/internal/telemetry"
)

func TestLogFormats(t *testing.T) {
	tests := map[string]struct {
		format string
		json   bool
	}{
		"json if asked for":                 {"json", true},
		"text if asked for":                 {"text", false},
		"json where there is no terminal":   {"", true},
		"json for a format it doesn't know": {"xml", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			telemetry.NewLogger(&out, slog.LevelInfo, tt.format).Info("delivered", "user", "k", "sequence", 7)
			var line map[string]any
			isJSON := json.Unmarshal(out.Bytes(), &line) == nil
			if isJSON != tt.json {
				t.Fatalf("line = %s, want JSON: %t", out.String(), tt.json)
			}
			if isJSON && (line["msg"] != "delivered" || line["user"] != "k" || line["sequence"] != 7.0 || line["level"] != "INFO") {
				t.Errorf("line = %s, want message, level and both fields", out.String())
			}
			if !isJSON && !strings.Contains(out.String(), "msg=delivered user=k sequence=7") {
				t.Errorf("line = %s, want message and both fields", out.String())
			}
		})
	}
}

func TestLogLevel(t *testing.T) {
	tests := map[string]struct {
		level slog.Level
		want  int
	}{
		"everything":   {slog.LevelDebug, 4},
		"the default":  {slog.LevelInfo, 3},
		"warnings on":  {slog.LevelWarn, 2},
		"errors alone": {slog.LevelError, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, tt.level, "json")
			log.Debug("d")
			log.Info("i")
			log.Warn("w")
			log.Error("e")
			if got := strings.Count(out.String(), "\n"); got != tt.want {
				t.Errorf("%d lines, want %d: %s", got, tt.want, out.String())
			}
		})
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	telemetry.NewLogger(f, slog.LevelInfo, "").Info("delivered")
	if line, err := os.ReadFile(f.Name()); err != nil || !json.Valid(line) {
		t.Errorf("line = %s, %v, want JSON", line, err)
	}
}
