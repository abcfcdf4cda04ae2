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

// bicepParams returns the parameters with their defaults; "" if there is none.
func bicepParams(t *testing.T) map[string]string {
	t.Helper()
	params := map[string]string{}
	for _, found := range bicepParam.FindAllStringSubmatch(read(t, bicep), -1) {
		params[found[1]] = found[2]
	}
	return params
}

// bicepEnvironment returns the variables that the containers get, as they might be once
// Azure has filled in what it knows.
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
			t.Errorf("%s is %s, which this test does not know", name, expression)
		}
		env[name] = value
	}
	for _, found := range bicepSecrets.FindAllStringSubmatch(bicepParams(t)["secretSettings"], -1) {
		env[found[1]] = "a-long-random-token"
	}
	return env
}

// TestBicepSettingsStart reads what the Bicep file sets as the service does.
func TestBicepSettingsStart(t *testing.T) {
	env := bicepEnvironment(t)
	known := []string{"GOMEMLIMIT"}
	for _, row := range config.Table() {
		known = append(known, row.Name)
	}
	for name := range env {
		if !slices.Contains(known, name) {
			t.Errorf("%s is no setting", name)
		}
	}
	settings, err := new(config.Serve).Settings(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if got := settings.Graph.Credential; got != config.ManagedIdentity {
		t.Errorf("credential = %s, want the managed identity", got)
	}
	if !settings.RedisEntra || settings.RedisURL.IsZero() || settings.PublicURL.IsZero() || settings.MonitorToken.IsZero() {
		t.Errorf("settings = %+v, want a Redis with Entra, a public URL and a token", settings)
	}
	if len(settings.TrustedProxies) == 0 || settings.LogFormat != "json" {
		t.Errorf("trusted proxies = %v, log format = %q, want the ingress' and json", settings.TrustedProxies, settings.LogFormat)
	}
	for _, name := range []string{"MEDIATOR_URL", "MONITOR_TOKEN"} {
		_, err := new(config.Serve).Settings(func(other string) string {
			if other == name {
				return ""
			}
			return env[other]
		})
		if err == nil {
			t.Errorf("it starts without %s: this test would not notice if the file left it out", name)
		}
	}
}

// TestBicepSecretsStayInTheVault looks for secrets that are values, and keys that would
// make one.
func TestBicepSecretsStayInTheVault(t *testing.T) {
	text := read(t, bicep)
	for _, unwanted := range []string{"listKeys", "@secure()", "sharedKey", "passwordSecretRef", "accessKeysAuthentication: 'Enabled'"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%s has %s", bicep, unwanted)
		}
	}
	for _, wanted := range []string{"accessKeysAuthentication: 'Disabled'", "keyVaultUrl: ", "identity: identity.id", "evictionPolicy: 'NoEviction'", "aofEnabled: true"} {
		if !strings.Contains(text, wanted) {
			t.Errorf("%s lacks %s", bicep, wanted)
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
		t.Errorf("the ingress does not lead to LISTEN_ADDR, port %s", port)
	}
}

func TestBicepMemoryLimitLeavesRoom(t *testing.T) {
	params := bicepParams(t)
	soft := mebibytes(t, strings.Trim(params["memoryLimit"], "'"))
	if got, want := params["memory"], "'0.5Gi'"; got != want {
		t.Fatalf("memory = %s, want %s, which this test compares with", got, want)
	}
	if share := float64(soft) / 512; share < 0.85 || share > 0.95 {
		t.Errorf("GOMEMLIMIT = %d MiB of 512, want about 90 %%", soft)
	}
}

// TestAzureGuideNamesTheParameters compares the guide's deployment with the file.
func TestAzureGuideNamesTheParameters(t *testing.T) {
	_, after, ok := strings.Cut(read(t, azureGuide), "az deployment group create")
	if !ok {
		t.Fatal("the guide deploys nothing")
	}
	command, _, _ := strings.Cut(after, "\n\n")
	var given []string
	for _, found := range regexp.MustCompile(`\b([a-zA-Z]+)=`).FindAllStringSubmatch(command, -1) {
		given = append(given, found[1])
	}
	params := bicepParams(t)
	for _, name := range given {
		if _, ok := params[name]; !ok {
			t.Errorf("the guide gives %s, which is no parameter", name)
		}
	}
	for name, value := range params {
		if value == "" && !strings.HasPrefix(name, "location") && !slices.Contains(given, name) {
			t.Errorf("the guide does not give %s, which has no default", name)
		}
	}
}

// azStandIn answers as the Azure CLI does, and notes what is posted.
const azStandIn = `#!/bin/sh
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
	tests := map[string]struct {
		args   []string
		code   int
		output string
		posted []string
	}{
		"the roles it needs, one of which is there": {[]string{"principal"}, 0,
			"MailboxSettings.Read: granted\nUser.Read.All: granted before\nCalendars.Read: granted\n",
			[]string{body("role-mailbox"), body("role-calendars")}},
		"one that is named": {[]string{"principal", "Calendars.Read"}, 0, "Calendars.Read: granted\n", []string{body("role-calendars")}},
		"one that Graph does not have": {[]string{"principal", "Mail.Everything"}, 1,
			"Microsoft Graph has no application permission Mail.Everything\n", nil},
		"nobody to grant to": {nil, 2, "usage: ", nil},
	}
	script, err := filepath.Abs(filepath.Join("../..", grantRoles))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "az"), []byte(azStandIn), 0o755); err != nil {
				t.Fatal(err)
			}
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
