package main_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/graphsim"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheGuideHasEverySetting(t *testing.T) {
	text, err := os.ReadFile("../../deploy/SETTINGS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "| setting | default | meaning |\n| --- | --- | --- |\n")
	table, _, _ := strings.Cut(rest, "\n\n")
	var want []string
	for _, row := range config.Table() {
		otherwise := row.Default
		if row.Literal {
			otherwise = "`" + otherwise + "`"
		}
		want = append(want, strings.Join(strings.Fields(fmt.Sprintf("| `%s` | %s | %s |", row.Name, otherwise, row.Help)), " "))
	}
	if got := strings.Split(table, "\n"); !slices.Equal(got, want) {
		t.Errorf("the settings in SETTINGS.md are\n%s\nwant\n%s", table, strings.Join(want, "\n"))
	}
}

// TestTheREADMEsCommandsExist asks each command that the README names for its
// help, and each script for its existence.
func TestTheREADMEsCommandsExist(t *testing.T) {
	w := world(t, "", graphsim.Config{})
	text := readme(t)
	seen := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for _, found := range regexp.MustCompile(`(?:outlook-monitor|\./cmd/outlook-monitor) ((?:users )?[a-z-]+)`).FindAllStringSubmatch(block[1], -1) {
			seen++
			p := w.start(append(strings.Fields(found[1]), "--help")...)
			if code := p.Wait(); code != 0 {
				t.Errorf("%s --help = exit %d, want 0: %s", found[1], code, p.log)
			}
		}
	}
	if seen < 5 {
		t.Errorf("%d commands found in the README, want at least 5", seen)
	}
	for _, script := range regexp.MustCompile(`scripts/[a-z]+`).FindAllString(text, -1) {
		if _, err := os.Stat("../../" + script); err != nil {
			t.Errorf("the README names %s, which does not exist", script)
		}
	}
}
