package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// rows returns the cells of the guide's table whose header begins with head.
func rows(t *testing.T, head string) [][]string {
	t.Helper()
	_, after, ok := strings.Cut(filetest.Read(t, "README.md"), "\n| "+head+" |")
	if !ok {
		t.Fatalf("the guide has no table %q", head)
	}
	var all [][]string
	for i, line := range strings.Split(after, "\n") {
		switch {
		case i < 2: // rest of the header, and the line below it
			continue
		case !strings.HasPrefix(line, "| "):
			return all
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		all = append(all, cells)
	}
	return all
}

var quoted = regexp.MustCompile("`([^`]+)`")

// codes returns the texts in backquotes of a cell.
func codes(cell string) (all []string) {
	for _, found := range quoted.FindAllStringSubmatch(cell, -1) {
		all = append(all, found[1])
	}
	return all
}

// TestGuideFlags compares names, variables and defaults.
func TestGuideFlags(t *testing.T) {
	guide := map[string][2]string{}
	for _, row := range rows(t, "flag") {
		guide[strings.Trim(row[0], "`")] = [2]string{strings.Trim(row[1], "`"), strings.Trim(row[2], "`")}
	}
	// The guide describes these defaults in words.
	described := []string{"--tenant-id", "--client-id", "--client-secret", "--roles"}
	for field := range reflect.TypeFor[flags]().Fields() {
		tag := field.Tag
		name := "--" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(tag.Get("env"), "GRAPHSIM_"), "_", "-"))
		row, ok := guide[name]
		switch {
		case !ok:
			t.Errorf("the guide lacks %s", name)
		case row[0] != tag.Get("env"), row[1] != tag.Get("default") && !slices.Contains(described, name):
			t.Errorf("%s = %q in the guide, want %q and %q", name, row, tag.Get("env"), tag.Get("default"))
		}
		delete(guide, name)
	}
	for name := range guide {
		t.Errorf("the guide has %s, which is not a flag", name)
	}
}

// TestGuideFaults sets each fault of the guide, and compares the kinds and operations with
// those in the code.
func TestGuideFaults(t *testing.T) {
	control := launch(t)["control API"]
	set := func(fault map[string]any) (int, string) {
		body, err := json.Marshal(fault)
		must.NoError(t, err)
		return ask(t, http.DefaultClient, http.MethodPost, control+"/faults", nil, string(body))
	}
	requests := codes(rows(t, "kind")[0][2])
	kinds := map[string][]string{} // by operation
	for _, row := range rows(t, "kind") {
		operations := codes(row[2])
		if row[2] == "all requests" {
			operations = requests
		}
		operations = slices.DeleteFunc(slices.Clone(operations), func(name string) bool { return strings.HasPrefix(name, "$") })
		for _, operation := range operations {
			kind := strings.Trim(row[0], "`")
			kinds[operation] = append(kinds[operation], kind)
			if status, answer := set(map[string]any{"operation": operation, "kind": kind, "delay": "1ms", "life": "1s"}); status != http.StatusOK {
				t.Errorf("%s of %s = %d %s, want 200", kind, operation, status, answer)
			}
		}
	}
	for operation, documented := range kinds {
		_, answer := set(map[string]any{"operation": operation, "kind": "none"})
		_, known, _ := strings.Cut(answer, "want one of ")
		for kind := range strings.SplitSeq(strings.TrimRight(known, "\"}\n"), ", ") {
			if !slices.Contains(documented, kind) {
				t.Errorf("the guide lacks %s of %s", kind, operation)
			}
		}
	}
	operation := regexp.MustCompile(`\bop[A-Z]\w+\s+= "([a-z-]+)"`)
	for _, file := range []string{"route.go", "fault.go"} {
		for _, found := range operation.FindAllStringSubmatch(filetest.Read(t, "../../internal/graphsim/"+file), -1) {
			if kinds[found[1]] == nil {
				t.Errorf("the guide lacks the operation %s", found[1])
			}
		}
	}
}

// TestGuideExample runs example.py with a newly built graphsim.
func TestGuideExample(t *testing.T) {
	dir := t.TempDir()
	_, err := programtest.Build(dir, "graphsim")
	must.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "python3", "example.py")
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "TMPDIR="+dir)
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "Ran 2 tests") {
		t.Errorf("%v: %s", err, output)
	}
}
