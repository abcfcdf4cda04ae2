package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/programtest"
	"outlook-monitor/internal/redistest"
)

func TestExportAndImport(t *testing.T) {
	t.Parallel()
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 30})
	ann := tb.sim.AddUser(graphsim.User{UserPrincipalName: "ann@contoso.example", DisplayName: "Ann <&> Björk"})
	tb.sim.AddUser(graphsim.User{UserPrincipalName: "bob@contoso.example"})
	p := tb.startReady()
	for _, email := range []string{"Ann@Contoso.example", "bob@contoso.example"} {
		tb.wantStatus(http.StatusOK, "PUT", "/api/users/"+email, "")
	}
	want := fmt.Sprintf(`{"email":"Ann@Contoso.example","id":%q,"userPrincipalName":"ann@contoso.example","displayName":"Ann <&> Björk"}`, ann.ID)
	exported, stderr := tb.users(0, "", "export")
	if lines := strings.Split(exported, "\n"); len(lines) != 3 || lines[0] != want || lines[2] != "" {
		t.Errorf("users export = %s, want two lines, the first %s", exported, want)
	}
	if !strings.Contains(stderr, "2 users exported") {
		t.Errorf("users export = %q, want the number", stderr)
	}
	p.stop()

	tb.env["REDIS_URL"] = redistest.Start(t).URL()
	tb.startReady()
	if empty, _ := tb.users(0, "", "export"); empty != "" {
		t.Fatalf("users export of the other Redis = %s, want nothing", empty)
	}
	if stdout, _ := tb.users(0, exported, "import"); !strings.Contains(stdout, "2 users accepted") {
		t.Errorf("users import = %q, want the number", stdout)
	}
	tb.eventually("the other Redis has the same users, resolved", func() bool {
		again, _ := tb.users(0, "", "export")
		return again == exported
	})
}

func TestImportReportsBadLines(t *testing.T) {
	tb := newTestbed(t, redistest.Start(t).URL(), graphsim.Config{Seed: 31})
	tb.env["PUBLIC_URL"], tb.env["POLL_INTERVAL"] = "", "1m"
	tb.startReady()
	const users = 1100 // more than a page, and more than a request
	var emails, lines []string
	for i := range users {
		emails = append(emails, fmt.Sprintf("User%04d@contoso.example", i))
		lines = append(lines, fmt.Sprintf(`{"email":%q,"more":1}`, emails[i]))
	}
	bad := map[int]string{ // by line number
		3: "nonsense", 5: `{"email":"nobody"}`, 7: `{"id":"x"}`, 9: `["x@contoso.example"]`,
		500: `{"email":5}`, 1060: `{"email":"` + strings.Repeat("x", 200_000) + `@contoso.example"}`, 1080: "{",
	}
	for _, i := range slices.Sorted(maps.Keys(bad)) {
		lines = slices.Insert(lines, i-1, bad[i])
	}
	lines = append(lines, "", strings.Repeat("x", 100_000)) // without a newline
	file := filetest.Temp(t, "users", "\ufeff"+strings.Join(lines, "\r\n"))

	answer, stderr := tb.users(1, "", "--json", "import", "--file", file)
	var report struct {
		Accepted int
		Refused  []struct {
			Line         int
			Email, Error string
		}
	}
	if err := json.Unmarshal([]byte(answer), &report); err != nil || report.Accepted != users {
		t.Fatalf("users import = %.500s, %v, want %d accepted", answer, err, users)
	}
	var refused []string
	for _, r := range report.Refused {
		why, _, _ := strings.Cut(r.Error, ":")
		refused = append(refused, strings.TrimSpace(fmt.Sprintln(r.Line, r.Email, why)))
	}
	want := []string{
		"3  not JSON", "5 nobody not an e-mail address", `7  not a JSON object with "email"`, `9  not a JSON object with "email"`,
		`500  not a JSON object with "email"`, "1060  too long for a user", "1080  not JSON", "1109  too long for a user",
	}
	if !slices.Equal(refused, want) {
		t.Errorf("refused lines = %q, want %q", refused, want)
	}
	if !strings.Contains(stderr, "8 lines were not accepted") {
		t.Errorf("users import = %q, want 8 lines", stderr)
	}
	if text, _ := tb.users(1, lines[2]+"\n"+lines[4], "import"); text != "line 1: not JSON\nline 2 (nobody): not an e-mail address: it must read name@domain, without control characters, in at most 320 bytes\n"+
		"0 users accepted.\n" {
		t.Errorf("users import of two bad lines = %q, want a line each", text)
	}

	tb.users(0, "", "export", "--file", file)
	var got []string
	for line := range strings.Lines(filetest.Read(t, file)) {
		var user struct{ Email string }
		if err := json.Unmarshal([]byte(line), &user); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got = append(got, user.Email)
	}
	if !slices.Equal(got, emails) {
		t.Errorf("users export has %d users, want the %d that were imported, in the same spelling", len(got), users)
	}
}

func TestUsersErrors(t *testing.T) {
	tb := newTestbed(t, "", graphsim.Config{Seed: 32})
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	filetest.Write(t, kept, "yesterday's")
	answers := func(text string) (url string) {
		return programtest.Serve(t, http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, text) }))
	}
	foreign := answers(`{"results":[]}`)
	absent := "http://" + programtest.FreeAddress(t)
	const one = `{"email":"ann@contoso.example"}`
	for name, tt := range map[string]struct {
		server, input string
		args          []string
		want          string
	}{
		"watch without service":         {absent, "", []string{"watch"}, "start outlook-monitor serve there"},
		"export without service":        {absent, "", []string{"export", "--file", kept}, "nothing listens"},
		"export from another program":   {foreign, "", []string{"export", "--file", kept}, "is not outlook-monitor's private address"},
		"export to a missing directory": {answers(`{"users":[]}`), "", []string{"export", "--file", filepath.Join(dir, "no", "users")}, "write the users"},
		"import without service":        {absent, "\n" + one, []string{"import"}, "nothing was imported from line 2 on: nothing listens"},
		"import to another program":     {foreign, one, []string{"import"}, "is not outlook-monitor's private address"},
		"list over http instead of TLS": {strings.Replace(tb.sim.URL(), "https:", "http:", 1), "", []string{"list"}, "speaks TLS: use https://"},
		"import of a missing file":      {foreign, "", []string{"import", "--file", filepath.Join(dir, "none")}, "read the users"},
		"import of a directory":         {foreign, "", []string{"import", "--file", dir}, "read the users"},
	} {
		t.Run(name, func(t *testing.T) {
			tb.env["OUTLOOK_MONITOR_URL"] = tt.server
			if _, stderr := tb.users(1, tt.input, tt.args...); !strings.Contains(stderr, tt.want) {
				t.Errorf("users %v = %q, want %q in it", tt.args, stderr, tt.want)
			}
		})
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("files afterwards = %v, %v, want only the existing one", entries, err)
	}
	if text := filetest.Read(t, kept); text != "yesterday's" {
		t.Errorf("the file afterwards = %q, want it unchanged", text)
	}
}
