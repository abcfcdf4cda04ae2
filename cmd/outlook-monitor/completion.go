package main

import (
	"io"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/posener/complete"
)

// completionCmd prints a completion script.
type completionCmd struct {
	Shell string `arg:"" name:"shell" enum:"bash,zsh,fish" help:"For ~/.bashrc: source <(outlook-monitor completion bash); for ~/.zshrc: source <(outlook-monitor completion zsh); fish: outlook-monitor completion fish | source."`
}

// Run prints the script, which runs this program for the completions.
func (c *completionCmd) Run(ctx *kong.Context) error {
	return (&kongcompletion.Completion{Shell: c.Shell, Code: true}).Run(ctx)
}

// printCompletions prints completions if a shell asks for them, and reports whether it did.
func printCompletions(parser *kong.Kong, out io.Writer) (bool, error) {
	command, err := kongcompletion.Command(parser)
	if err != nil {
		return false, err
	}
	command.Flags = command.Sub["serve"].GlobalFlags // a bare outlook-monitor serves
	completion := complete.New(parser.Model.Name, command)
	completion.Out = out
	return completion.Complete(), nil
}
