package config_test

import (
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"outlook-monitor/internal/config"
)

// command is a command line with the settings in it, as the program has it.
type command struct {
	Serve struct{ config.Serve } `cmd:"" default:"withargs"`
}

// parse reads args and returns the settings and what was printed.
func parse(t *testing.T, args ...string) (c command, out string, err error) {
	t.Helper()
	var printed strings.Builder
	c.Serve.Serve = config.NewServe()
	parser, err := kong.New(&c, kong.Name("outlook-monitor"), kong.Writers(&printed, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return c, printed.String(), err
}

func TestFlagsWinOverVariables(t *testing.T) {
	c, _, err := parse(t, "--azure-client-secret", "of-the-flag", "--mediator-url=https://flag.example", "--poll-interval", "5s",
		"--allow-anonymous", "--log-level=debug", "--azure-client-id=flag", "serve")
	if err != nil {
		t.Fatal(err)
	}
	e := needed().with("POLL_INTERVAL", "7s", "ALLOW_ANONYMOUS", "false", "SCHEDULED", "always", "LOG_LEVEL", "nonsense", "MONITOR_TOKEN", "",
		"AZURE_CLIENT_ID", "", "CLIENT_ID", "old", "MEDIATOR_URL", "", "MEDIATOR_IP", "10.1.2.3", "MEDIATOR_PORT", "1")
	s, err := c.Serve.Settings(e.get)
	if err != nil {
		t.Fatal(err)
	}
	if s.Graph.ClientSecret.Reveal() != "of-the-flag" || s.MediatorURL.Reveal() != "https://flag.example" ||
		s.Graph.ClientID != "flag" || s.PollInterval != 5*time.Second || !s.AllowAnonymous || s.LogLevel.String() != "DEBUG" {
		t.Errorf("Settings = %+v, want what the flags say", s)
	}
	if s.Scheduled != "always" || s.Graph.TenantID != "contoso.example" {
		t.Errorf("Settings = %+v, want the variables where there is no flag", s)
	}
}

func TestASwitchMayStandAlone(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"alone":               {[]string{"--allow-anonymous"}, "true"},
		"alone, a flag after": {[]string{"--allow-anonymous", "--log-level=info"}, "true"},
		"with true":           {[]string{"--allow-anonymous=true"}, "true"},
		"with false":          {[]string{"--allow-anonymous=false"}, "false"},
		"with nonsense":       {[]string{"--allow-anonymous=perhaps"}, "perhaps"},
		"not there":           {nil, "false"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, _, err := parse(t, append([]string{"serve"}, tt.args...)...)
			used := c.Serve.Used(needed().get)
			i := slices.IndexFunc(used, func(u config.Used) bool { return u.Name == "ALLOW_ANONYMOUS" })
			if err != nil || used[i].Value != tt.want {
				t.Errorf("ALLOW_ANONYMOUS = %q, %v, want %q", used[i].Value, err, tt.want)
			}
		})
	}
}

// Every setting can be given as a flag with the same effect as its variable.
func TestEachVariableHasAnEqualFlag(t *testing.T) {
	certificate, key := keyPair(t)
	files := map[string]string{"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key}
	for _, row := range config.Table() {
		value, ok := files[row.Name]
		if !ok {
			value = "127.0.0.1:1" // right or wrong, both ways must say the same
		}
		t.Run(row.Name, func(t *testing.T) {
			c, _, err := parse(t, row.Flag+"="+value)
			if err != nil {
				t.Fatal(err)
			}
			fromFlag, flagErr := c.Serve.Settings(needed().with(row.Name, "").get)
			fromEnv, envErr := new(config.Serve).Settings(needed().with(row.Name, value).get)
			if !reflect.DeepEqual(fromFlag, fromEnv) || !reflect.DeepEqual(flagErr, envErr) {
				t.Errorf("%s = %+v, %v, want the same as %s = %+v, %v", row.Flag, fromFlag, flagErr, row.Name, fromEnv, envErr)
			}
			if untouched := settings(t, needed()); flagErr == nil && reflect.DeepEqual(fromFlag, untouched) {
				t.Errorf("%s changes nothing and is no mistake", row.Flag)
			}
		})
	}
}

func TestHelpListsEverySetting(t *testing.T) {
	_, help, _ := parse(t, "serve", "--help")
	help = strings.Join(strings.Fields(help), " ")
	for _, row := range config.Table() {
		words := strings.Join(strings.Fields(row.Help), " ")
		if !strings.Contains(help, row.Flag) || !strings.Contains(help, words) || !strings.Contains(help, "($"+row.Name) {
			t.Errorf("help lacks %s with %q and $%s:\n%s", row.Flag, words, row.Name, help)
		}
		if row.Default != "" && !strings.Contains(help, "($"+row.Name+", default: "+row.Default+")") {
			t.Errorf("help lacks the default %q of %s", row.Default, row.Name)
		}
	}
}

func TestTableRowsAreComplete(t *testing.T) {
	rows := config.Table()
	name := regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)
	var names []string
	for _, row := range rows {
		names = append(names, row.Name)
		flag := "--" + strings.ReplaceAll(strings.ToLower(row.Name), "_", "-")
		if !name.MatchString(row.Name) || row.Flag != flag || !strings.HasSuffix(row.Help, ".") || row.Literal && row.Default == "" {
			t.Errorf("row %+v is torn, want a variable, its flag %s and a sentence", row, flag)
		}
	}
	if sorted := slices.Sorted(slices.Values(names)); len(slices.Compact(sorted)) != len(names) {
		t.Errorf("names = %v, want each once", names)
	}
	for _, name := range []string{
		"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST", "GRAPH_CLOUD", "GRAPH_ENDPOINT",
		"PUBLIC_URL", "MEDIATOR_URL", "MEDIATOR_TOKEN", "MEDIATOR_SIGNING_SECRET", "REDIS_URL", "LISTEN_ADDR", "PRIVATE_ADDR",
		"TLS_CERT_FILE", "TLS_KEY_FILE", "MONITOR_TOKEN", "ALLOW_ANONYMOUS", "POLL_INTERVAL", "SUBSCRIPTION_RESOURCES",
		"SUBSCRIPTION_LIFETIME", "SCHEDULED", "MESSAGE", "CLIENT_STATE_KEY", "ENCRYPTION_CERT_FILE", "ENCRYPTION_KEY_FILE",
		"LOG_LEVEL", "LOG_FORMAT",
	} {
		if !slices.Contains(names, name) {
			t.Errorf("the table lacks %s, which is promised", name)
		}
	}
}
