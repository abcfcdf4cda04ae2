package archtest_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/must"
)

const (
	bicep      = "deploy/azure/main.bicep"
	azureGuide = "deploy/AZURE.md"
	grantRoles = "deploy/azure/grant-graph-roles.sh"
)

var (
	bicepParam   = regexp.MustCompile(`(?m)^param (\w+) \w+(?: = (.+))?$`)
	bicepSetting = regexp.MustCompile(`\{ name: '([A-Z_]+)', value: (.+) \}`)
	bicepText    = regexp.MustCompile(`^'(.*)'$`)
	bicepHole    = regexp.MustCompile(`\$\{[^}]*\}`)
	bicepProbe   = regexp.MustCompile(`type: '(\w+)'\s+httpGet: \{\s+path: '(\S+)'\s+port: (\d+)`)
	bicepSecrets = regexp.MustCompile(`'([A-Z_]+)'`)
)

// bicepParams returns the default of each parameter, "" for a parameter without one.
func bicepParams(t *testing.T) map[string]string {
	t.Helper()
	params := map[string]string{}
	for _, found := range bicepParam.FindAllStringSubmatch(read(t, bicep), -1) {
		params[found[1]] = found[2]
	}
	return params
}

// bicepEnvironment returns the containers' environment, with examples for the values
// that Azure fills in.
func bicepEnvironment(t *testing.T) map[string]string {
	t.Helper()
	known := map[string]string{
		"identity.properties.clientId":          "11111111-2222-3333-4444-555555555555",
		"empty(publicUrl) ? ownUrl : publicUrl": "https://outlook-monitor.example.azurecontainerapps.io",
		"mediatorUrl":                           "https://mediator.example.com",
		"memoryLimit":                           strings.Trim(bicepParams(t)["memoryLimit"], "'"),
	}
	env := map[string]string{}
	for _, found := range bicepSetting.FindAllStringSubmatch(read(t, bicep), -1) {
		name, expression := found[1], found[2]
		value, ok := known[expression]
		if text := bicepText.FindStringSubmatch(expression); text != nil {
			value, ok = bicepHole.ReplaceAllString(text[1], "redis.example.azure.net"), true
		}
		if !ok {
			t.Errorf("%s is %s: add an example value to this test", name, expression)
		}
		env[name] = value
	}
	for _, found := range bicepSecrets.FindAllStringSubmatch(bicepParams(t)["secretSettings"], -1) {
		env[found[1]] = "a-long-random-token"
	}
	return env
}

// TestBicepSettings reads the settings of the Bicep file as the service does.
func TestBicepSettings(t *testing.T) {
	env := bicepEnvironment(t)
	settings := readSettings(t, env)
	if got := settings.Graph.Credential; got != config.ManagedIdentity {
		t.Errorf("credential = %s, want the managed identity", got)
	}
	if !settings.RedisEntra || settings.RedisURL.IsZero() || settings.PublicURL.IsZero() || settings.MonitorToken.IsZero() {
		t.Errorf("settings = %+v, want a Redis with Entra, a public URL and a token", settings)
	}
	if len(settings.TrustedProxies) == 0 || settings.LogFormat != "json" {
		t.Errorf("trusted proxies = %v, log format = %q, want the ingress and json", settings.TrustedProxies, settings.LogFormat)
	}
}

func TestBicepSecrets(t *testing.T) {
	text := read(t, bicep)
	for _, unwanted := range []string{"listKeys", "@secure()", "sharedKey", "passwordSecretRef", "accessKeysAuthentication: 'Enabled'"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%s has %s", bicep, unwanted)
		}
	}
}

func TestBicepProbesAndPort(t *testing.T) {
	text := read(t, bicep)
	want := map[string]string{"Startup": "/healthz", "Liveness": "/healthz", "Readiness": "/readyz"}
	_, port, _ := strings.Cut(bicepEnvironment(t)["LISTEN_ADDR"], ":")
	got := map[string]string{}
	for _, found := range bicepProbe.FindAllStringSubmatch(text, -1) {
		got[found[1]] = found[2]
		if found[3] != port {
			t.Errorf("port of %s = %s, want that of LISTEN_ADDR, %s", found[1], found[3], port)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("probes = %v, want %v", got, want)
	}
	if !strings.Contains(text, "targetPort: "+port+"\n") {
		t.Errorf("the ingress does not target port %s of LISTEN_ADDR", port)
	}
}

// TestAzureGuideParameters compares the deployment command in the guide with the Bicep file.
func TestAzureGuideParameters(t *testing.T) {
	_, after, ok := strings.Cut(read(t, azureGuide), "az deployment group create")
	if !ok {
		t.Fatal("the guide has no deployment command")
	}
	command, _, _ := strings.Cut(after, "\n\n")
	var given []string
	for _, found := range regexp.MustCompile(`\b([a-zA-Z]+)=`).FindAllStringSubmatch(command, -1) {
		given = append(given, found[1])
	}
	params := bicepParams(t)
	for _, name := range given {
		if _, ok := params[name]; !ok {
			t.Errorf("the guide passes %s, which is not a parameter", name)
		}
	}
	for name, value := range params {
		if value == "" && !strings.HasPrefix(name, "location") && !slices.Contains(given, name) {
			t.Errorf("the guide does not pass %s, which has no default", name)
		}
	}
}

// fakeAz answers like the Azure CLI and records the posted bodies.
const fakeAz = `#!/bin/sh
case "$*" in
"cloud show "*) echo https://graph.microsoft.com/ ;;
*"--query id "*) echo graph-object ;;
*MailboxSettings.Read*) echo role-mailbox ;;
*User.Read.All*) echo role-users ;;
*Calendars.Read*) echo role-calendars ;;
"rest --method get --url https://graph.microsoft.com/v1.0/servicePrincipals/principal/appRoleAssignments "*) echo role-users ;;
"rest --method post --url https://graph.microsoft.com/v1.0/servicePrincipals/principal/appRoleAssignments "*)
	for body; do :; done
	echo "$body" >>"$(dirname "$0")/posted" ;;
esac
`

func TestGrantGraphRoles(t *testing.T) {
	body := func(role string) string {
		return `{"principalId": "principal", "resourceId": "graph-object", "appRoleId": "` + role + `"}`
	}
	script, err := filepath.Abs(filepath.Join("../..", grantRoles))
	must.NoError(t, err)
	for name, tt := range map[string]struct {
		args   []string
		code   int
		output string
		posted []string
	}{
		"default roles, one granted before": {[]string{"principal"}, 0,
			"MailboxSettings.Read: granted\nUser.Read.All: granted before\nCalendars.Read: granted\n",
			[]string{body("role-mailbox"), body("role-calendars")}},
		"given role": {[]string{"principal", "Calendars.Read"}, 0, "Calendars.Read: granted\n", []string{body("role-calendars")}},
		"unknown role": {[]string{"principal", "Mail.Everything"}, 1,
			"Microsoft Graph has no application permission Mail.Everything\n", nil},
		"no principal": {nil, 2, "usage: ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must.NoError(t, os.WriteFile(filepath.Join(dir, "az"), []byte(fakeAz), 0o755))
			cmd := exec.Command(script, tt.args...)
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
			output, err := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != tt.code || !strings.HasPrefix(string(output), tt.output) {
				t.Fatalf("exit code = %d (%v), output %q, want %d and %q", got, err, output, tt.code, tt.output)
			}
			posted, err := os.ReadFile(filepath.Join(dir, "posted"))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if got := strings.Fields(string(posted)); !slices.Equal(got, strings.Fields(strings.Join(tt.posted, "\n"))) {
				t.Errorf("posted %q, want %q", posted, tt.posted)
			}
		})
	}
}
