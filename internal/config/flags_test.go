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
	parser, err := kong.New(&c, kong.Name("outlook-monitor"), kong.ValueFormatter(config.FlagHelp),
		kong.Writers(&printed, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return c, printed.String(), err
}

func TestFlagsWinOverVariables(t *testing.T) {
	c, _, err := parse(t, "--azure-client-secret", "of-the-flag", "--mediator-url=https://flag.example", "--poll-interval", "5s",
		"--allow-anonymous", "--log-level=debug", "serve")
	if err != nil {
		t.Fatal(err)
	}
	e := needed().with("POLL_INTERVAL", "7s", "ALLOW_ANONYMOUS", "false", "SCHEDULED", "always", "LOG_LEVEL", "nonsense", "MONITOR_TOKEN", "")
	s, err := c.Serve.Settings(e.get)
	if err != nil {
		t.Fatal(err)
	}
	if s.Graph.ClientSecret.Reveal() != "of-the-flag" || s.MediatorURL.Reveal() != "https://flag.example" ||
		s.PollInterval != 5*time.Second || !s.AllowAnonymous || s.LogLevel.String() != "DEBUG" {
		t.Errorf("Settings = %+v, want what the flags say", s)
	}
	if s.Scheduled != "always" || s.Graph.TenantID != "contoso.example" {
		t.Errorf("Settings = %+v, want the variables where there is no flag", s)
	}
}

func TestFlagsWinOverOldVariables(t *testing.T) {
	c, _, err := parse(t, "--azure-tenant-id=flag.example", "--mediator-url=https://flag.example")
	if err != nil {
		t.Fatal(err)
	}
	e := needed().with("AZURE_TENANT_ID", "", "TENANT", "old.example", "MEDIATOR_URL", "", "MEDIATOR_IP", "10.1.2.3", "MEDIATOR_PORT", "1")
	s, err := c.Serve.Settings(e.get)
	if err != nil || s.Graph.TenantID != "flag.example" || s.MediatorURL.Reveal() != "https://flag.example" {
		t.Errorf("Settings = %+v, %v, want what the flags say", s, err)
	}
}

func TestASwitchMayStandAlone(t *testing.T) {
	tests := map[string]struct {
		args []string
		want config.Switch
	}{
		"alone":               {[]string{"--allow-anonymous"}, "true"},
		"alone, a flag after": {[]string{"--allow-anonymous", "--log-level=info"}, "true"},
		"with true":           {[]string{"--allow-anonymous=true"}, "true"},
		"with false":          {[]string{"--allow-anonymous=false"}, "false"},
		"with nonsense":       {[]string{"--allow-anonymous=perhaps"}, "perhaps"},
		"not there":           {nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, _, err := parse(t, append([]string{"serve"}, tt.args...)...)
			if err != nil || c.Serve.AllowAnonymous != tt.want {
				t.Errorf("AllowAnonymous = %q, %v, want %q", c.Serve.AllowAnonymous, err, tt.want)
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
		if strings.Contains(row.Markdown(), "\n") || strings.Count(row.Markdown(), "|") != 4 {
			t.Errorf("Markdown = %q, want a line of three cells", row.Markdown())
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

func TestMarkdownShowsWhatCanBeWrittenAsCode(t *testing.T) {
	tests := map[string]struct {
		row  config.Row
		want string
	}{
		"a value":       {config.Row{Name: "A", Default: "2s", Help: "How often.", Literal: true}, "| `A` | `2s` | How often. |"},
		"a description": {config.Row{Name: "A", Default: "of the cloud", Help: "Where."}, "| `A` | of the cloud | Where. |"},
		"none":          {config.Row{Name: "A", Help: "Where."}, "| `A` | | Where. |"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.row.Markdown(); got != tt.want {
				t.Errorf("Markdown = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestFlagHelpLeavesOtherFlagsAlone(t *testing.T) {
	_, help, _ := parse(t, "serve", "--help")
	if !strings.Contains(help, "Show context-sensitive help.") || strings.Contains(help, "help. ($") {
		t.Errorf("help = %s, want --help described as kong does", help)
	}
}

func TestAFlagNobodyKnowsIsAnError(t *testing.T) {
	if _, _, err := parse(t, "serve", "--pol-interval=2s"); err == nil {
		t.Error("an unknown flag = no error, want one")
	}
}
