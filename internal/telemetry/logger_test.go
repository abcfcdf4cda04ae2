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
		"json":        {"json", true},
		"text":        {"text", false},
		"no terminal": {"", true},
		"unknown":     {"xml", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, slog.LevelInfo, tt.format)
			log.Debug("below the level")
			log.Info("delivered", "user", "k", "sequence", 7)
			var line map[string]any
			isJSON := json.Unmarshal(out.Bytes(), &line) == nil
			if isJSON != tt.json {
				t.Fatalf("line = %s, want JSON: %t", out.String(), tt.json)
			}
			if isJSON && (line["msg"] != "delivered" || line["user"] != "k" || line["sequence"] != 7.0 || line["level"] != "INFO") {
				t.Errorf("line = %s, want the message, the level and both fields", out.String())
			}
			if !isJSON && (!strings.Contains(out.String(), "msg=delivered user=k sequence=7") || strings.Contains(out.String(), "below")) {
				t.Errorf("line = %s, want the message and both fields", out.String())
			}
		})
	}
}

func TestLogToFileIsJSON(t *testing.T) {
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
