package config_test

import (
	"cmp"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/must"
)

// command is a command line like the program's.
type command struct {
	Serve struct{ config.Serve } `cmd:"" default:"withargs"`
}

// parse parses args and returns the command and its output.
func parse(t *testing.T, args ...string) (c command, out string, err error) {
	t.Helper()
	var printed strings.Builder
	c.Serve.Serve = config.NewServe()
	parser, err := kong.New(&c, kong.Name("outlook-monitor"), kong.Writers(&printed, io.Discard), kong.Exit(func(int) {}))
	must.NoError(t, err)
	_, err = parser.Parse(args)
	return c, printed.String(), err
}

func TestBoolFlag(t *testing.T) {
	for args, want := range map[string]string{
		"serve": "false",
		"serve --allow-anonymous --log-level=info":   "true",
		"serve --allow-anonymous=true":               "true",
		"--poll-interval 5s --allow-anonymous serve": "true",
		"serve --allow-anonymous=false":              "false",
		"serve --allow-anonymous=perhaps":            "perhaps",
	} {
		c, _, err := parse(t, strings.Fields(args)...)
		effective := c.Serve.Effective(required().get)
		i := slices.IndexFunc(effective, func(s config.EffectiveSetting) bool { return s.Name == "ALLOW_ANONYMOUS" })
		if err != nil || effective[i].Value != want {
			t.Errorf("ALLOW_ANONYMOUS with %s = %q, %v, want %q", args, effective[i].Value, err, want)
		}
	}
}

// TestFlagsHaveSameEffectAsVariables gives the flags precedence over variables, new and old.
func TestFlagsHaveSameEffectAsVariables(t *testing.T) {
	old := env{"TENANT": "old", "CLIENT_ID": "old", "CLIENT_SECRET": "old", "MEDIATOR_IP": "10.1.2.3", "MEDIATOR_PORT": "1"}
	certificate, key := ecdsaPair(t)
	files := map[string]string{"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key}
	for _, row := range config.Table() {
		value := cmp.Or(files[row.Name], "127.0.0.1:1") // valid or not, flag and variable must have the same result
		t.Run(row.Name, func(t *testing.T) {
			c, _, err := parse(t, row.Flag+"="+value)
			must.NoError(t, err)
			fromEnv, envErr := new(config.Serve).Settings(required().with(row.Name, value).get)
			fromFlag, flagErr := c.Serve.Settings(old.and(required()).with(row.Name, "another").get)
			if !reflect.DeepEqual(fromFlag, fromEnv) || !reflect.DeepEqual(flagErr, envErr) {
				t.Errorf("%s = %+v, %v, want the same as %s = %+v, %v", row.Flag, fromFlag, flagErr, row.Name, fromEnv, envErr)
			}
			if defaults := settings(t, required()); envErr == nil && reflect.DeepEqual(fromEnv, defaults) {
				t.Errorf("%s changes nothing and is not a mistake", row.Flag)
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
		if !strings.HasSuffix(row.Help, ".") {
			t.Errorf("help of %s = %q, want a sentence", row.Name, row.Help)
		}
		if row.Default != "" && !strings.Contains(help, "($"+row.Name+", default: "+row.Default+")") {
			t.Errorf("help lacks the default %q of %s", row.Default, row.Name)
		}
	}
}
