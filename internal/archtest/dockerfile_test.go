package archtest_test

import (
	"encoding/json"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is one of a Dockerfile's, its lines joined.
type instruction struct{ name, args string }

// stages returns the instructions of each stage, FROM first.
func stages(t *testing.T, file string) [][]instruction {
	t.Helper()
	var all [][]instruction
	text := strings.ReplaceAll(read(t, file), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, args, _ := strings.Cut(line, " ")
		if name == "FROM" {
			all = append(all, nil)
		}
		if len(all) == 0 {
			t.Fatalf("%s: %s comes before the first FROM", file, name)
		}
		last := len(all) - 1
		all[last] = append(all[last], instruction{name, args})
	}
	return all
}

// find returns the arguments of all instructions of a name.
func find(stage []instruction, name string) []string {
	var all []string
	for _, i := range stage {
		if i.name == name {
			all = append(all, i.args)
		}
	}
	return all
}

// words reads an instruction in its JSON form.
func words(t *testing.T, args string) []string {
	t.Helper()
	var all []string
	if err := json.Unmarshal([]byte(args), &all); err != nil {
		t.Errorf("%s is not in JSON form: %v", args, err)
	}
	return all
}

var numericUser = regexp.MustCompile(`^[1-9][0-9]*(:[1-9][0-9]*)?$`)

func TestDockerfileBuildsOneStaticProgram(t *testing.T) {
	all := stages(t, "Dockerfile")
	if len(all) != 2 {
		t.Fatalf("stages = %d, want 2", len(all))
	}
	build := all[0]
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "go.mod"))
	if len(version) != 2 {
		t.Fatal("go.mod says no Go version")
	}
	if from := build[0].args; !strings.Contains(from, "golang:"+version[1]+"-") {
		t.Errorf("FROM = %s, want go.mod's Go %s", from, version[1])
	}
	command := strings.Join(find(build, "RUN"), "\n")
	for _, want := range []string{"CGO_ENABLED=0", "go build", "-trimpath", "-o /outlook-monitor", "./cmd/outlook-monitor"} {
		if !strings.Contains(command, want) {
			t.Errorf("RUN = %s, want %s in it", command, want)
		}
	}
	if !slices.Contains(find(build, "COPY"), ". .") {
		t.Error("the whole tree, with .git, is not copied: the revision would be unknown")
	}
}

func TestImageHoldsLittleAndRunsAsNobody(t *testing.T) {
	all := stages(t, "Dockerfile")
	image := all[len(all)-1]
	tests := map[string]struct{ got, want []string }{
		"base":        {[]string{image[0].args}, []string{"scratch"}},
		"user":        {find(image, "USER"), []string{"65532:65532"}},
		"port":        {find(image, "EXPOSE"), []string{"8080"}},
		"entry point": {words(t, strings.Join(find(image, "ENTRYPOINT"), "")), []string{"/outlook-monitor"}},
		"command":     {words(t, strings.Join(find(image, "CMD"), "")), []string{"serve"}},
		"files": {find(image, "COPY"), []string{
			"--from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/", "--from=build /outlook-monitor /outlook-monitor"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if !slices.Equal(tt.got, tt.want) {
				t.Errorf("%s = %q, want %q", name, tt.got, tt.want)
			}
		})
	}
	_, check, ok := strings.Cut(strings.Join(find(image, "HEALTHCHECK"), ""), " CMD ")
	if got, want := words(t, check), []string{"/outlook-monitor", "health"}; !ok || !slices.Equal(got, want) {
		t.Errorf("HEALTHCHECK = %q, want %q", got, want)
	}
}

func TestHerokuImageAddsAShellToTheService(t *testing.T) {
	all := stages(t, "deploy/heroku/Dockerfile")
	image := all[len(all)-1]
	if got := all[0][0].args; got != "outlook-monitor AS service" {
		t.Errorf("first FROM = %s, want the image that deploy/heroku/deploy builds", got)
	}
	if user := find(image, "USER"); len(user) != 1 || !numericUser.MatchString(user[0]) {
		t.Errorf("USER = %q, want a number other than 0", user)
	}
	if got := words(t, strings.Join(find(image, "CMD"), "")); !slices.Equal(got, []string{"/start"}) {
		t.Errorf("CMD = %q, want /start", got)
	}
}

func TestScriptsCanBeRun(t *testing.T) {
	for _, file := range []string{".ci/run", "scripts/check", "scripts/run", "deploy/azure/grant-graph-roles.sh", "deploy/heroku/deploy", "deploy/heroku/start"} {
		info, err := fs.Stat(root(t), file)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm()&0o111 == 0 || !strings.HasPrefix(read(t, file), "#!") {
			t.Errorf("%s can't be run: mode %v, or no #! line", file, info.Mode())
		}
	}
}
